"""`/api/albums`: the photos that modes are taught from, and the start of a training. Only for the administrator."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from app.config import Settings
from app.errors import ModelError
from app.photos import album as albums
from app.photos.album import Album
from app.photos.album_errors import CannotTeach
from app.photos.album_findings import findings_of
from app.photos.album_photos import AlbumPhoto, count_photos, photos_of
from app.photos.album_training import problem_of, write_lists
from app.registry import jobs
from app.registry.library import version_names
from app.registry.state import history_of
from app.web.bodies import read_json
from app.web.guard import check_admin, who
from app.web.schemas_albums import AlbumTitles, ClassNames, NewAlbum, NewClass, TrainingOrder

blueprint = Blueprint("albums", __name__, url_prefix="/api/albums")
blueprint.before_request(check_admin)


@blueprint.get("")
def get_albums() -> Response:
    """Every album in a line."""
    newest = _newest_jobs()
    return jsonify({"can_teach": can_teach(), "albums": [_line(album, newest) for album in _list()]})


@blueprint.post("")
def create() -> tuple[Response, int]:
    """Begin an album."""
    body = read_json(NewAlbum)
    album = albums.create_album(models_dir(), body.title_en, body.title_zh, body.key or None)
    return jsonify(shown(album.key)), 201


@blueprint.get("/<key>")
def get_album(key: str) -> Response:
    """One album with all its photos."""
    return jsonify(shown(key))


@blueprint.patch("/<key>")
def rename(key: str) -> Response:
    """Give an album other titles."""
    body = read_json(AlbumTitles)
    albums.rename_album(models_dir(), key, body.title_en, body.title_zh)
    return jsonify(shown(key))


@blueprint.delete("/<key>")
def delete(key: str) -> Response:
    """Delete an album with its photos; the mode's versions stay. Answers with the albums that are left."""
    check_not_training(key)
    albums.delete_album(models_dir(), key)
    return get_albums()


@blueprint.post("/<key>/classes")
def add_class(key: str) -> tuple[Response, int]:
    """Begin a class."""
    body = read_json(NewClass)
    albums.add_class(models_dir(), key, body.label, body.label_zh)
    return jsonify(shown(key)), 201


@blueprint.patch("/<key>/classes/<class_id>")
def rename_class(key: str, class_id: str) -> Response:
    """Give a class other names."""
    body = read_json(ClassNames)
    albums.rename_class(models_dir(), key, class_id, body.label, body.label_zh)
    return jsonify(shown(key))


@blueprint.delete("/<key>/classes/<class_id>")
def delete_class(key: str, class_id: str) -> Response:
    """Delete a class; restoring its photos brings it back, until the next training."""
    check_not_training(key)
    albums.delete_class(models_dir(), key, class_id)
    return jsonify(shown(key))


@blueprint.get("/<key>/findings")
def get_findings(key: str) -> Response:
    """What training's examination would say of the photos as they are."""
    found = findings_of(models_dir(), albums.read_album(models_dir(), key))
    plain = ({"kind": one.kind, "en": one.en, "zh": one.zh, "photos": list(one.photos)} for one in found)
    return jsonify({"findings": list(plain)})


@blueprint.post("/<key>/train")
def train(key: str) -> tuple[Response, int]:
    """Teach the mode from the album, in a job."""
    order = read_json(TrainingOrder)
    album = albums.read_album(models_dir(), key)
    if not can_teach():
        raise CannotTeach
    jobs.check_free(models_dir(), key)
    unchanged = write_lists(models_dir(), key)
    command = [
        "train",
        str(albums.folder_of(models_dir(), key).resolve()),
        f"--mode={key}",
        f"--title-en={album.title_en}",
        f"--title-zh={album.title_zh}",
        f"--by={who()}",
        "--json",
        "--events",
        # What was changed since the run was stopped is to be learned, too: then it begins anew.
        *(["--resume"] if order.resume and unchanged else []),
    ]
    job = jobs.start(models_dir(), "train", key, command)
    return jsonify(jobs.described(models_dir(), job)), 202


def check_not_training(key: str) -> None:
    """Raises JobBusy while a job reads the album's files, which must stay where they are until it ends."""
    jobs.check_free(models_dir(), key)


def can_teach() -> bool:
    """Whether what training needs beside serving is installed here (requirements-train.txt)."""
    return all(find_spec(name) is not None for name in ("sklearn", "scipy"))


def shown(key: str) -> dict[str, Any]:
    """An album as the API gives it."""
    album = albums.read_album(models_dir(), key)
    photos = photos_of(models_dir(), album)
    problem = problem_of(album, photos)
    return {
        "key": key,
        "title_en": album.title_en,
        "title_zh": album.title_zh,
        "created": album.created.isoformat(),
        "classes": [
            {
                "id": one.id,
                "label": one.label,
                "label_zh": one.label_zh,
                "photos": [photo_shown(photo) for photo in photos[one.id]],
            }
            for one in album.present()
        ],
        "photos": sum(len(some) for some in photos.values()),
        "problem": {"en": problem.en, "zh": problem.zh} if problem else None,
        "job": _newest_jobs().get(key),
        "versions": version_names(models_dir() / key),
        "active": _active(key),
    }


def photo_shown(photo: AlbumPhoto) -> dict[str, Any]:
    """A photo as the API gives it."""
    return {"id": photo.id, "width": photo.width, "height": photo.height}


def settings() -> Settings:
    """This server's settings."""
    known: Settings = current_app.extensions["settings"]
    return known


def models_dir() -> Path:
    """Where everything lies."""
    return settings().models_dir


def _list() -> list[Album]:
    return albums.list_albums(models_dir())


def _line(album: Album, newest: dict[str, str]) -> dict[str, Any]:
    return {
        "key": album.key,
        "title_en": album.title_en,
        "title_zh": album.title_zh,
        "classes": len(album.present()),
        "photos": count_photos(models_dir(), album),
        "job": newest.get(album.key),
        "active": _active(album.key),
    }


def _newest_jobs() -> dict[str, str]:
    """The newest training job's id of each mode that has one."""
    trainings = (job for job in reversed(jobs.list_jobs(models_dir())) if job.kind == "train")
    return {job.mode: job.id for job in trainings}


def _active(key: str) -> str | None:
    try:
        return history_of(models_dir() / key).active
    except ModelError:
        return None
