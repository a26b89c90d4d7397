"""The photos of an album: put in, moved, removed and restored. Each is a file, `<class>/<id>-<width>x<height>.jpg`."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.errors import NotFound
from app.photos.album import REMOVED, Album, changing_album, check_free, folder_of, read_album
from app.photos.album_errors import AlbumFull, InAnotherClass
from app.registry.files import write_file
from app.vision.keeping import Kept

MAX_PHOTOS = 20_000
SMALL = 240
"""Pixels of a thumbnail's longer side."""
_ID_LENGTH = 16
_FILE = re.compile(r"(?P<id>[0-9a-f]{16})-(?P<width>\d+)x(?P<height>\d+)\.jpg")


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """One photo: its id, the first 16 hex digits of its SHA-256, its sides in pixels, and where it lies."""

    id: str
    width: int
    height: int
    path: Path


def photos_of(models_dir: Path, album: Album) -> dict[str, list[AlbumPhoto]]:
    """The photos of each class by its id, in the order in which they came."""
    folder = folder_of(models_dir, album.key)
    return {one.id: [photo for _, photo in sorted(_listed(folder / one.id), key=_order)] for one in album.present()}


def count_photos(models_dir: Path, album: Album) -> int:
    """How many there are in all."""
    folder = folder_of(models_dir, album.key)
    return sum(1 for one in album.present() for _ in _files(folder / one.id))


def find_photo(models_dir: Path, key: str, photo_id: str) -> Path:
    """The file of a photo. Raises NotFound, UnknownAlbum."""
    folder = folder_of(models_dir, key)
    path = _find([folder / one.id for one in read_album(models_dir, key).present()], photo_id)
    if path is None:
        raise NotFound
    return path


def content(path: Path) -> bytes:
    """The photo's JPEG. Raises NotFound where it has just gone."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound from None


def thumbnail(path: Path) -> bytes:
    """A small JPEG of a photo, `SMALL` pixels at most. Raises NotFound where it has just gone."""
    buffer = io.BytesIO()
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            image.thumbnail((SMALL, SMALL))
            image.save(buffer, "JPEG", quality=85)
    except FileNotFoundError:
        raise NotFound from None
    return buffer.getvalue()


def add_photo(models_dir: Path, key: str, class_id: str, kept: Kept) -> tuple[AlbumPhoto, bool]:
    """Put a photo into a class; whether it was there already.

    Raises:
        InAnotherClass: another class has it. AlbumFull: there are too many. StorageFull: the disk is full.
        UnknownAlbum, NotFound: the album or the class is not there (any more).
    """
    photo_id = kept.sha256[:_ID_LENGTH]
    name = f"{photo_id}-{kept.width}x{kept.height}.jpg"
    with changing_album(models_dir, key) as album:
        folder = folder_of(models_dir, key)
        here = album.find(class_id)
        photo = AlbumPhoto(photo_id, kept.width, kept.height, folder / class_id / name)
        holder = next((one for one in album.present() if (folder / one.id / name).exists()), None)
        if holder is not None and holder is not here:
            raise InAnotherClass(name=holder.label, name_zh=holder.label_zh)
        if holder is here:
            return photo, True
        if count_photos(models_dir, album) >= MAX_PHOTOS:
            raise AlbumFull(limit=MAX_PHOTOS)
        write_file(photo.path, kept.jpeg, mode=0o600)
        return photo, False


def move_photos(models_dir: Path, key: str, photo_ids: Iterable[str], class_id: str) -> None:
    """Move photos to a class; those that are gone are passed over. Raises NotFound, UnknownAlbum."""
    with changing_album(models_dir, key) as album:
        folder = folder_of(models_dir, key)
        target = folder / album.find(class_id).id
        for path in _found([folder / one.id for one in album.present()], photo_ids):
            path.replace(target / path.name)


def remove_photos(models_dir: Path, key: str, photo_ids: Iterable[str]) -> None:
    """Put photos aside, until the next training; those that are gone are passed over. Raises UnknownAlbum."""
    with changing_album(models_dir, key) as album:
        folder = folder_of(models_dir, key)
        for path in _found([folder / one.id for one in album.present()], photo_ids):
            aside = folder / REMOVED / path.parent.name
            aside.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.replace(aside / path.name)


def restore_photos(models_dir: Path, key: str, photo_ids: Iterable[str]) -> None:
    """Put removed photos back where they were; a class that was deleted meanwhile comes back with them.

    Those that are gone for good, or were sent anew, are passed over.

    Raises:
        NameTaken: another class has the name of a deleted one by now. UnknownAlbum: there is no such album.
    """
    with changing_album(models_dir, key) as album:
        folder = folder_of(models_dir, key)
        for path in _found([folder / REMOVED / one.id for one in album.classes], photo_ids):
            if any((folder / one.id / path.name).exists() for one in album.present()):
                path.unlink()
                continue
            home = next(one for one in album.classes if one.id == path.parent.name)
            if home.removed:
                check_free(album, home.label, home.label_zh)
                home.removed = False
            path.replace(folder / home.id / path.name)


def _files(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    """The photos in a folder; none where there is no such folder."""
    for path in folder.glob("*.jpg"):
        match = _FILE.fullmatch(path.name)
        if match:
            yield path, match


def _listed(folder: Path) -> Iterator[tuple[int, AlbumPhoto]]:
    """The photos in a folder, each with the time when it came (nanoseconds)."""
    for path, match in _files(folder):
        try:
            came = path.stat().st_mtime_ns
        except FileNotFoundError:  # moved in between
            continue
        yield came, AlbumPhoto(match["id"], int(match["width"]), int(match["height"]), path)


def _order(entry: tuple[int, AlbumPhoto]) -> tuple[int, str]:
    return entry[0], entry[1].id


def _find(folders: Iterable[Path], photo_id: str) -> Path | None:
    return next(_found(folders, [photo_id]), None)


def _found(folders: Iterable[Path], photo_ids: Iterable[str]) -> Iterator[Path]:
    """The files of photos, of those that are there."""
    wanted = set(photo_ids)
    paths = [path for folder in folders for path, match in _files(folder) if match["id"] in wanted]
    return iter(paths)
