"""`photos.csv`, beside a version's manifest: which photos it was made and judged from, and which its weights know."""

import csv
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from app.errors import DataError
from app.photos.dataset import PARTS, Dataset, Part, content_hash
from app.registry.versions import PHOTOS

_COLUMNS = ("part", "label", "sha256", "learned", "path")
_YES, _NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo: its part, the name of its class, its content, whether the weights learned from it, and its place."""

    part: Part
    label: str
    sha256: str
    learned: bool
    path: Path

    def is_there(self) -> bool:
        """Whether the file still holds what it held."""
        return content_hash(self.path) == self.sha256


def snapshot_of(dataset: Dataset, learned: Collection[Part], more: Iterable[Photo] = ()) -> bytes:
    """The file's content. `learned`: the parts that the weights learned from; `more`: photos of no part, such as
    unlabelled ones, whose class has no name."""
    photos = (
        Photo(part, dataset.classes[sample.label], content_hash(sample.path), part in learned, sample.path.resolve())
        for part, samples in dataset.parts().items()
        for sample in samples
    )
    return written(chain(photos, more))


def written(photos: Iterable[Photo]) -> bytes:
    """The same of photos that are known already."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for photo in photos:
        writer.writerow((photo.part, photo.label, photo.sha256, _YES if photo.learned else _NO, photo.path))
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_snapshot(version: Path) -> tuple[Photo, ...] | None:
    """The photos of the version in that folder, or None where it does not say: imported, or older than this file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        text = (version / PHOTOS).read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if rows[:1] != [list(_COLUMNS)] or not all(_is_sound(row) for row in rows[1:]):
        raise DataError(f"The file {PHOTOS} of the version {version.name} is damaged.")
    return tuple(
        Photo(cast(Part, part), label, sha256, learned == _YES, Path(place))
        for part, label, sha256, learned, place in rows[1:]
    )


def _is_sound(row: list[str]) -> bool:
    return len(row) == len(_COLUMNS) and row[0] in PARTS and row[3] in (_YES, _NO)
