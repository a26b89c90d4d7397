"""From an album to what training reads: whether it can begin, which photos are held out, and the lists."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.photos.album import Album, changing, folder_of, forget_removed, read_album
from app.photos.album_errors import NotEnough
from app.photos.album_photos import AlbumPhoto, photos_of
from app.photos.findings import Both
from app.photos.lists import CLASSES
from app.registry.files import write_file

TRAIN, TEST = "train.txt", "test.txt"
TESTED_FROM = 10
"""A class with fewer photos needs all of them to learn from."""
_TEST_ONE_IN = 5
_MOST_TESTED = 3
"""At most one photo in so many is held out, however the draw falls."""
_FEWEST_CLASSES = 2
_FEWEST_PHOTOS = 2
"""One to learn from, one to choose by."""

Photos = Mapping[str, Sequence[AlbumPhoto]]


def problem_of(album: Album, photos: Photos) -> Both | None:
    """Why training cannot begin yet; None where it can."""
    classes = album.present()
    if len(classes) < _FEWEST_CLASSES:
        return Both(
            "Make at least two classes: there must be something to tell apart.", "请至少建立两个类别，才能加以区分。"
        )
    for one in classes:
        count = len(photos[one.id])
        if count == 0:
            return Both(
                f"The class '{one.label}' has no photos yet: add some, or delete the class.",
                f"类别“{one.label_zh}”还没有照片：请添加照片，或删除该类别。",
            )
        if count < _FEWEST_PHOTOS:
            return Both(
                f"The class '{one.label}' has one photo only: it needs {_FEWEST_PHOTOS} at least.",
                f"类别“{one.label_zh}”只有 1 张照片：至少需要 {_FEWEST_PHOTOS} 张。",
            )
    return None


def held_out(photos: Sequence[AlbumPhoto]) -> set[str]:
    """The ids of a class's test photos: one in five, by content, so that a photo is the same for ever, or nearly so.

    A photo that was sent as a correction, too, falls on the same side there (`training.gathering`).
    """
    if len(photos) < TESTED_FROM:
        return set()
    drawn = sorted(photo.id for photo in photos if int(photo.id[:8], 16) % _TEST_ONE_IN == 0)
    return set((drawn or [min(photo.id for photo in photos)])[: len(photos) // _MOST_TESTED])


def write_lists(models_dir: Path, key: str) -> bool:
    """Write the lists that training reads into the album's folder; says whether they are as they were.

    What was removed is gone for good from here on.

    Raises:
        NotEnough: training cannot begin yet. UnknownAlbum. StorageFull.
    """
    album = read_album(models_dir, key)
    problem = problem_of(album, photos_of(models_dir, album))
    if problem:
        raise NotEnough(en=problem.en, zh=problem.zh)
    forget_removed(models_dir, key)
    with changing(models_dir):
        album = read_album(models_dir, key)
        contents = _lists(album, photos_of(models_dir, album))
        before = {name: _content(folder_of(models_dir, key) / name) for name in contents}
        for name, content in contents.items():
            write_file(folder_of(models_dir, key) / name, content, mode=0o600)
    return before == contents


def _lists(album: Album, photos: Photos) -> dict[str, str]:
    parts: dict[str, list[str]] = {TRAIN: [], TEST: []}
    for index, one in enumerate(album.present()):
        tested = held_out(photos[one.id])
        for photo in photos[one.id]:
            parts[TEST if photo.id in tested else TRAIN].append(f"{one.id}/{photo.path.name} {index}\n")
    names = "".join(f"{one.label}\t{one.label_zh}\n" for one in album.present())
    return {CLASSES: names, **{name: "".join(lines) for name, lines in parts.items()}}


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
