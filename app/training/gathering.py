"""The photos of the next version: those of the version before, as long as they are there, and what was corrected."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import DataError
from app.photos.dataset import Dataset, Part, Sample
from app.photos.snapshot import Photo
from app.registry.manifest import ManifestLabel

ENOUGH_FOR_A_CLASS = 5
"""Training photos without which a new class is not begun: from fewer a head learns the photos, not the thing."""
_TEST_ONE_IN = 5


@dataclass(frozen=True, slots=True)
class Gathered:
    """The data set; what of the version's own photos is `gone`; new classes with their photos, `begun` and `too_few`.

    `taken`: the SHA-256 of the corrected pictures among them.
    """

    dataset: Dataset
    gone: int
    begun: dict[str, int]
    too_few: dict[str, int]
    taken: frozenset[str]


def part_of_correction(sha256: str) -> Part:
    """Where a corrected picture belongs: one in five to the test, the same ones for ever, so no version learns them."""
    return "test" if int(sha256[:8], 16) % _TEST_ONE_IN == 0 else "train"


def gather(
    own: Sequence[Photo], labels: Sequence[ManifestLabel], corrected: Sequence[Photo], private: Path
) -> Gathered:
    """Put `own`, a version's photos, and the accepted corrections together; `labels` are the version's classes.

    Of its photos those in `private`, which came from corrections, count only if they are among `corrected` still. What
    had been held back and was learned from in the end goes back into training, to be held back anew.

    Raises:
        DataError: some class of the version has no training photo left.
    """
    inside = private.resolve()
    mine = [photo for photo in own if not photo.path.resolve().is_relative_to(inside)]
    there = [photo for photo in mine if photo.is_there()]
    named, begun, too_few = _named(corrected, labels)
    contents = {photo.sha256 for photo in named}
    photos = [replace(one, part="train") if one.learned else one for one in there if one.sha256 not in contents]
    classes = [label.label for label in labels] + sorted(begun)
    dataset = _dataset([*photos, *named], classes, labels)
    bare = set(range(len(classes))) - {sample.label for sample in dataset.train}
    if bare:
        names = ", ".join(classes[label] for label in sorted(bare))
        raise DataError(
            f"All training photos of these classes are gone or changed: {names}. Put them back where they were, "
            "or train the mode anew."
        )
    return Gathered(dataset, len(mine) - len(there), begun, too_few, frozenset(contents))


def _named(
    corrected: Iterable[Photo], labels: Sequence[ManifestLabel]
) -> tuple[list[Photo], dict[str, int], dict[str, int]]:
    """The corrected photos under the version's own names, and the new classes: those with enough photos, the others."""
    known = {label.label_zh.casefold(): label.label for label in labels if label.label_zh}
    known |= {label.label.casefold(): label.label for label in labels}
    spelled: dict[str, str] = {}
    photos = []
    for photo in corrected:
        key = photo.label.strip().casefold()
        name = known.get(key) or spelled.setdefault(key, photo.label.strip())
        photos.append(replace(photo, label=name, part=part_of_correction(photo.sha256)))
    new = Counter(dict.fromkeys(spelled.values(), 0))
    new.update(photo.label for photo in photos if photo.label in new and photo.part == "train")
    begun = {name: count for name, count in new.items() if count >= ENOUGH_FOR_A_CLASS}
    too_few = {name: count for name, count in new.items() if count < ENOUGH_FOR_A_CLASS}
    return [photo for photo in photos if photo.label not in too_few], begun, too_few


def _dataset(photos: Sequence[Photo], classes: Sequence[str], labels: Sequence[ManifestLabel]) -> Dataset:
    chinese = {label.label: label.label_zh or label.label for label in labels}
    index = {name: place for place, name in enumerate(classes)}

    def part(name: Part) -> tuple[Sample, ...]:
        return tuple(Sample(one.path, index[one.label]) for one in photos if one.part == name and one.label in index)

    names = tuple(chinese.get(name, name) for name in classes)
    return Dataset(tuple(classes), part("train"), part("validation"), part("test"), names)
