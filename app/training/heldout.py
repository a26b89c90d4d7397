"""The pictures that two versions are compared on: none that either of them learned from."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from app.photos.dataset import content_hash, read_dataset
from app.photos.snapshot import Photo, read_snapshot
from app.training.judging import judged_part


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and the name of what it shows. `corrected`: somebody said that a version had it wrong."""

    path: Path
    label: str
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The pictures, where they are from, and how many were left out: `learned` from, or `gone` or changed since.

    `unsaid`: the versions of which nobody knows what they learned from.
    """

    pictures: tuple[Picture, ...]
    source: str
    learned: int = 0
    gone: int = 0
    unsaid: tuple[str, ...] = ()


def held_out(candidate: Path, active: Path, data: Path | None, *, private: Path) -> HeldOut:
    """The pictures of `data` if given, else the test part of either version, else their validation parts.

    `candidate`, `active`: the versions' folders. `private`: where the pictures of corrections are kept. A validation
    part was looked at to choose among networks, which a test part was not: it is the last resort.

    Raises:
        DataError: `data` holds no labelled photos, or a version's list of photos is damaged.
    """
    snapshots = {folder.name: read_snapshot(folder) for folder in (candidate, active)}
    unsaid = tuple(name for name, photos in snapshots.items() if photos is None)
    known = [photo for photos in snapshots.values() for photo in photos or ()]
    learned = {photo.sha256 for photo in known if photo.learned}
    if data is not None:
        return _unseen(_read(data), str(data), learned, unsaid, private)
    if unsaid:  # what that version learned from may be the other's test
        return HeldOut((), "none", unsaid=unsaid)
    test = _unseen((photo for photo in known if photo.part == "test"), "test", learned, unsaid, private)
    if test.pictures:
        return test
    chosen_on = (photo for photo in known if photo.part == "validation")
    return _unseen(chosen_on, "validation", learned, unsaid, private)


def _unseen(
    photos: Iterable[Photo], source: str, learned: Collection[str], unsaid: tuple[str, ...], private: Path
) -> HeldOut:
    """Those that are still there and were not learned from; one of each content.

    Of two the first is taken, which is the candidate's, and has the newer label.
    """
    by_content: dict[str, Photo] = {}
    for photo in photos:
        by_content.setdefault(photo.sha256, photo)
    unseen = [photo for photo in by_content.values() if photo.sha256 not in learned]
    there = [photo for photo in unseen if photo.is_there()]
    inside = private.resolve()
    pictures = tuple(Picture(one.path, one.label, one.path.resolve().is_relative_to(inside)) for one in there)
    return HeldOut(pictures, source, len(by_content) - len(unseen), len(unseen) - len(there), unsaid)


def _read(data: Path) -> Iterable[Photo]:
    dataset = read_dataset(data, validation_share=0)
    part = judged_part(dataset)
    for sample in dataset.parts()[part]:
        yield Photo(part, dataset.classes[sample.label], content_hash(sample.path), False, sample.path)
