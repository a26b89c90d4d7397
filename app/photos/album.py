"""An album: the photos that a mode is taught from, gathered in the browser, `<models_dir>/.albums/<key>/`.

`album.json` has the names; each photo is a file in its class's folder, so that moving it is one rename. What was
removed lies in `.removed/` until the next training. All changes are made under one lock, by whatever thread or process.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from app.errors import BadParameter, NotFound, StorageFull
from app.photos.album_errors import KeyTaken, NameTaken, TooManyClasses, UnknownAlbum
from app.registry.catalog import BUILT_IN
from app.registry.files import is_full, remove_whole, write_file
from app.registry.manifest import MAX_KEY_LENGTH, is_key
from app.registry.state import locked, now
from app.vision.labels import visible_name

MAX_NAME = 60
"""Characters of a title or of a class's name."""
MAX_CLASSES = 200
REMOVED = ".removed"
_ALBUM = "album.json"


class Class(BaseModel):
    """One class. `removed`: it was deleted, and comes back with any photo of it that is restored."""

    id: str
    label: str
    label_zh: str
    removed: bool = False


class Album(BaseModel):
    """What `album.json` holds. `made`: how many classes there ever were, so that no id means two of them."""

    key: str
    title_en: str
    title_zh: str
    created: datetime
    made: int = 0
    classes: list[Class] = []

    def present(self) -> list[Class]:
        """The classes that were not deleted."""
        return [one for one in self.classes if not one.removed]

    def find(self, class_id: str) -> Class:
        """The class of that id. Raises NotFound where there is none, or it was deleted."""
        found = next((one for one in self.present() if one.id == class_id), None)
        if found is None:
            raise NotFound
        return found

    def named(self, name: str) -> Class | None:
        """The class that is called so in either language, whatever the case."""
        fold = name.casefold()
        names = ((one, (one.label.casefold(), one.label_zh.casefold())) for one in self.present())
        return next((one for one, both in names if fold in both), None)


def albums_folder(models_dir: Path) -> Path:
    """Where the albums lie."""
    return models_dir / ".albums"


def folder_of(models_dir: Path, key: str) -> Path:
    """The album's own folder."""
    return albums_folder(models_dir) / key


def list_albums(models_dir: Path) -> list[Album]:
    """All albums, the oldest first."""
    keys = (path.parent.name for path in albums_folder(models_dir).glob(f"[!.]*/{_ALBUM}"))
    found = []
    for key in keys:
        try:
            found.append(read_album(models_dir, key))
        except UnknownAlbum:  # deleted in between, or not ours
            continue
    return sorted(found, key=lambda album: (album.created, album.key))


def read_album(models_dir: Path, key: str) -> Album:
    """The album of a mode. Raises UnknownAlbum."""
    try:
        if not is_key(key):
            raise UnknownAlbum(key=key[:MAX_KEY_LENGTH])
        return Album.model_validate_json((folder_of(models_dir, key) / _ALBUM).read_bytes())
    except (OSError, ValidationError) as error:
        raise UnknownAlbum(key=key) from error


def create_album(models_dir: Path, title_en: str, title_zh: str, key: str | None = None) -> Album:
    """Begin an album; without a `key` one is made of the English title.

    Raises:
        BadParameter: a title or the key cannot be used. KeyTaken: another mode has it. StorageFull: no room.
    """
    title_en, title_zh = both_names(title_en, title_zh, "title_en")
    if key is not None and (not is_key(key) or key in BUILT_IN):
        raise BadParameter(
            name="key", en="letters, digits, '_', '-' and '.'", zh="字母、数字、下划线、连字符或点组成的标识"
        )
    with changing(models_dir):
        if key is None:
            key = _free_key(models_dir, title_en)
        elif _is_taken(models_dir, key):
            raise KeyTaken(key=key)
        album = Album(key=key, title_en=title_en, title_zh=title_zh, created=now())
        folder_of(models_dir, key).mkdir(mode=0o700)
        _write(models_dir, album)
    return album


def rename_album(models_dir: Path, key: str, title_en: str | None, title_zh: str | None) -> None:
    """Give an album other titles; None leaves one as it is."""
    with changing_album(models_dir, key) as album:
        given = (album.title_en if title_en is None else title_en, album.title_zh if title_zh is None else title_zh)
        album.title_en, album.title_zh = both_names(*given, "title_en")


def delete_album(models_dir: Path, key: str) -> None:
    """Delete an album with its photos, at once; the versions that learned from them stay."""
    with changing(models_dir):
        read_album(models_dir, key)
        remove_whole(folder_of(models_dir, key))


def add_class(models_dir: Path, key: str, label: str, label_zh: str) -> Class:
    """Begin a class.

    Raises:
        BadParameter: no name, or one too long. NameTaken, TooManyClasses, UnknownAlbum, StorageFull.
    """
    label, label_zh = both_names(label, label_zh, "label")
    with changing_album(models_dir, key) as album:
        if len(album.present()) >= MAX_CLASSES:
            raise TooManyClasses(limit=MAX_CLASSES)
        check_free(album, label, label_zh)
        album.made += 1
        made = Class(id=f"c{album.made}", label=label, label_zh=label_zh)
        (folder_of(models_dir, key) / made.id).mkdir(mode=0o700, exist_ok=True)
        album.classes.append(made)
    return made


def rename_class(models_dir: Path, key: str, class_id: str, label: str | None, label_zh: str | None) -> None:
    """Give a class other names; None leaves one as it is. Raises as `add_class`, and NotFound."""
    with changing_album(models_dir, key) as album:
        known = album.find(class_id)
        names = both_names(
            known.label if label is None else label, known.label_zh if label_zh is None else label_zh, "label"
        )
        check_free(album, *names, but=known)
        known.label, known.label_zh = names


def delete_class(models_dir: Path, key: str, class_id: str) -> None:
    """Delete a class; its photos lie aside, and bring it back when they are restored. Raises NotFound."""
    with changing_album(models_dir, key) as album:
        gone = album.find(class_id)
        folder = folder_of(models_dir, key)
        aside = folder / REMOVED / class_id
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        gone.removed = True
        for path in (folder / class_id).glob("[!.]*"):
            path.replace(aside / path.name)


def forget_removed(models_dir: Path, key: str) -> None:
    """Delete for good what was removed, and what a killed process left half-written."""
    with changing_album(models_dir, key) as album:
        folder = folder_of(models_dir, key)
        shutil.rmtree(folder / REMOVED, ignore_errors=True)
        for gone in (one for one in album.classes if one.removed):
            shutil.rmtree(folder / gone.id, ignore_errors=True)
        album.classes = album.present()
        for path in folder.glob("*/.*"):
            path.unlink(missing_ok=True)


@contextmanager
def changing(models_dir: Path) -> Iterator[None]:
    """Within it nobody else changes any album. Raises StorageFull where the disk is full."""
    folder = albums_folder(models_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder):
            yield
    except OSError as error:
        if is_full(error):
            raise StorageFull from error
        raise


@contextmanager
def changing_album(models_dir: Path, key: str) -> Iterator[Album]:
    """The album, to be changed: it is written where the block succeeds and has changed it."""
    with changing(models_dir):
        album = read_album(models_dir, key)
        before = album.model_copy(deep=True)
        yield album
        if album != before:
            _write(models_dir, album)


def both_names(english: str, chinese: str, parameter: str) -> tuple[str, str]:
    """A name in both languages, cleaned; one that is empty is the same as the other.

    Raises:
        BadParameter: both are empty, or one is too long.
    """
    english, chinese = visible_name(english), visible_name(chinese)
    if not (english or chinese) or max(len(english), len(chinese)) > MAX_NAME:
        raise BadParameter(
            name=parameter, en=f"a name of 1 to {MAX_NAME} characters", zh=f" 1 到 {MAX_NAME} 个字的名称"
        )
    return english or chinese, chinese or english


def check_free(album: Album, label: str, label_zh: str, but: Class | None = None) -> None:
    """Raises NameTaken where another class than `but` has one of these names."""
    for name in (label, label_zh):
        owner = album.named(name)
        if owner is not None and owner is not but:
            raise NameTaken(name=name)


def _free_key(models_dir: Path, title: str) -> str:
    """A key of the title's plain letters and digits, or "mode"; numbered where it is taken."""
    plain = "".join(one if one.isascii() and one.isalnum() else " " for one in title.lower())
    stem = "-".join(plain.split())[: MAX_KEY_LENGTH - 8].strip("-")
    number = 1
    key = stem or "mode-1"
    while key in BUILT_IN or _is_taken(models_dir, key):
        number += 1
        key = f"{stem or 'mode'}-{number}"
    return key


def _is_taken(models_dir: Path, key: str) -> bool:
    return any(path.exists() for path in (folder_of(models_dir, key), models_dir / key, models_dir / f"{key}.pth"))


def _write(models_dir: Path, album: Album) -> None:
    write_file(folder_of(models_dir, album.key) / _ALBUM, album.model_dump_json(indent=1) + "\n", mode=0o600)
