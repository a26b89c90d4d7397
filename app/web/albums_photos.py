"""The photos of an album over HTTP: sent, shown, moved, removed, restored, or sent as a zip."""

from threading import BoundedSemaphore
from typing import Any, cast

from flask import Blueprint, Response, jsonify, request

from app.config import available_cores
from app.errors import BadParameter, Busy, NoFile, RequestError
from app.photos import album_photos, album_zip
from app.photos.album import read_album
from app.photos.album_errors import InAnotherClass
from app.vision.keeping import Kept, prepare
from app.web.albums import check_not_training, models_dir, photo_shown, settings, shown
from app.web.bodies import read_json
from app.web.failures import problem
from app.web.guard import check_admin
from app.web.modes_api import MAX_MODEL_BYTES as MAX_ZIP_BYTES
from app.web.parameters import Upload, read_uploads
from app.web.schemas_albums import MovedPhotos, SomePhotos
from app.web.uploads import MemoryRequest

blueprint = Blueprint("albums_photos", __name__, url_prefix="/api/albums/<key>")
blueprint.before_request(check_admin)

_AT_ONCE = min(available_cores(), 4)
_decoding = BoundedSemaphore(_AT_ONCE)
"""A picture of 50 million pixels takes 150 MB while it is decoded."""
_FOR_EVER = "private, max-age=31536000, immutable"
"""A photo's id is made of its content; only whoever was shown it has it."""


@blueprint.post("/classes/<class_id>/photos")
def send(key: str, class_id: str) -> Response:
    """Put photos into a class; each has a result of its own."""
    read_album(models_dir(), key).find(class_id)
    return jsonify({"results": [_result(key, class_id, upload) for upload in read_uploads(request)]})


@blueprint.post("/photos/move")
def move(key: str) -> Response:
    """Move photos to another class."""
    body = read_json(MovedPhotos)
    check_not_training(key)
    album_photos.move_photos(models_dir(), key, body.photos, body.to)
    return jsonify(shown(key))


@blueprint.post("/photos/remove")
def remove(key: str) -> Response:
    """Remove photos; they can be restored until the next training."""
    check_not_training(key)
    album_photos.remove_photos(models_dir(), key, read_json(SomePhotos).photos)
    return jsonify(shown(key))


@blueprint.post("/photos/restore")
def restore(key: str) -> Response:
    """Put removed photos back."""
    album_photos.restore_photos(models_dir(), key, read_json(SomePhotos).photos)
    return jsonify(shown(key))


@blueprint.get("/photos/<string(length=16):photo_id>")
def get_photo(key: str, photo_id: str) -> Response:
    """A photo, or with `size=small` its thumbnail."""
    size = request.args.get("size")
    if size not in (None, "small"):
        raise BadParameter(name="size", en="'small', or left out", zh=" small，或省略")
    path = album_photos.find_photo(models_dir(), key, photo_id)
    jpeg = album_photos.thumbnail(path) if size else album_photos.content(path)
    return Response(jpeg, mimetype="image/jpeg", headers={"Cache-Control": _FOR_EVER})


@blueprint.post("/zip")
def send_zip(key: str) -> Response:
    """Put all photos of a zip into the classes that its folders name; new ones are made."""
    read_album(models_dir(), key)
    request.max_content_length = MAX_ZIP_BYTES
    with album_zip.upload_folder(models_dir()) as folder:
        cast(MemoryRequest, request).keep_files_in(folder)
        part = request.files.get("file")
        if part is None or not part.filename:
            raise BadParameter(name="file", en="a zip of class folders", zh="一个按类别分文件夹的 zip 压缩包")
        path = folder / "photos.zip"
        part.save(path)
        outcome = album_zip.add_zip(models_dir(), key, path, _prepare)
    refused = [{"filename": name, **_told(error)} for name, error in outcome.refused]
    return jsonify({"added": outcome.added, "already": outcome.already, "refused": refused, "album": shown(key)})


def _result(key: str, class_id: str, upload: Upload) -> dict[str, Any]:
    result: dict[str, Any] = {"filename": upload.filename, "photo": None, "already": False, "error": None}
    try:
        photo, already = album_photos.add_photo(models_dir(), key, class_id, _prepare(upload.data))
    except RequestError as error:
        return {**result, "already": isinstance(error, InAnotherClass), "error": _told(error)}
    return {**result, "photo": photo_shown(photo), "already": already}


def _told(error: RequestError) -> dict[str, Any]:
    told = problem(error)
    return {"code": told["code"], "detail": told["detail"]}


def _prepare(data: bytes) -> Kept:
    if not data:
        raise NoFile
    if not _decoding.acquire(timeout=settings().deadline_s):
        raise Busy(retry_after_s=2)
    try:
        return prepare(data, settings().max_pixels)
    finally:
        _decoding.release()
