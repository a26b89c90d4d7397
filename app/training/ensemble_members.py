"""The members of an ensemble: versions that were taught, and photos that none of them learned from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from app.config import Settings
from app.errors import DataError, ModelError
from app.export.check import milliseconds
from app.export.formats import Forward
from app.photos.dataset import Dataset, Sample, content_hash, read_dataset
from app.photos.snapshot import Photo, read_snapshot
from app.registry.catalog import BUILT_IN
from app.registry.manifest import Manifest, ViewsName
from app.registry.versions import read_version
from app.serving.ensemble import Member, together
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.served import served_modes
from app.training.judging import features_of, translated
from app.training.progress import Progress

_PICTURE = (640, 480)
"""What is timed: a photo of this size, from its pixels to the answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """One member as it was taught; `photos`: what it was made from, None where it does not say."""

    mode: Mode
    manifest: Manifest
    tensors: dict[str, Tensor]
    photos: tuple[Photo, ...] | None

    @property
    def name(self) -> str:
        """MODE@VERSION."""
        return f"{self.mode.key}@{self.mode.model.version}"

    def member(self, weight: float) -> Member:
        """It, in an ensemble."""
        return Member(self.mode.backbone, self.mode.head, self.mode.temperature, weight)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos, and what each member says of them `[members, n, classes]`: in the views asked for; in the plain one."""

    samples: tuple[Sample, ...]
    probabilities: Tensor
    plain: Tensor

    @property
    def labels(self) -> Tensor:
        """int64 [n]."""
        return torch.tensor([sample.label for sample in self.samples])

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where they are."""
        return tuple(sample.path for sample in self.samples)


def read_members(names: Sequence[str], settings: Settings, loader: Loader | None = None) -> list[Taught]:
    """The versions `MODE[@VERSION]`; those on the same network share it.

    Raises:
        ModelError: one is missing, is nothing that an ensemble is made of, or has other labels than the first.
    """
    for name in names:
        if name in BUILT_IN:
            raise ModelError(
                f"{name} has no versions: the members of an ensemble are modes that were taught or imported."
            )
    members = []
    for name, mode in zip(names, served_modes(names, settings, loader=loader), strict=True):
        folder = settings.models_dir / mode.key / mode.model.version
        if not folder.is_dir():
            raise ModelError(f"{name} is a plain file: import it first (python -m app models import).")
        manifest, tensors = read_version(folder)
        if manifest.members:
            raise ModelError(f"{name} is an ensemble itself: name its members instead.")
        members.append(Taught(mode, manifest, tensors, read_snapshot(folder)))
    for other in members[1:]:
        _check_labels(members[0], other)
    return members


def _check_labels(first: Taught, other: Taught) -> None:
    """An ensemble takes means class by class: the third of one must be the third of the other."""
    mine, others = ([label.label for label in one.manifest.labels] for one in (first, other))
    if mine == others:
        return
    if sorted(mine) == sorted(others):
        raise ModelError(
            f"{first.name} and {other.name} know the same classes in another order, so that no mean of theirs makes "
            "sense: train one of them anew with the other's classes.txt."
        )
    strange = sorted(set(mine) ^ set(others))
    raise ModelError(f"{first.name} and {other.name} do not know the same classes: only one of them has {strange[0]}.")


def unseen(source: Path, members: Sequence[Taught]) -> Dataset:
    """The photos of `source` that no member learned from, with the members' class numbers: those to choose by as its
    validation part, and those to judge by, where there are both, as its test part.

    A member that does not say what it learned from is taken to have learned from the training part.

    Raises:
        DataError: there is none, or it shows a class that the members do not know.
    """
    given = read_dataset(source, validation_share=0)
    learned = {photo.sha256 for one in members for photo in one.photos or () if photo.learned}
    if any(one.photos is None for one in members) and (given.validation or given.test):
        learned |= {content_hash(sample.path) for sample in given.train}
    left = {
        part: tuple(one for one in samples if content_hash(one.path) not in learned)
        for part, samples in given.parts().items()
    }
    to_choose_by = left["validation"] or left["train"] or left["test"]
    to_judge_by = left["test"] if to_choose_by is not left["test"] else ()
    if not to_choose_by:
        raise DataError(
            f"Every photo of {source.name} was learned from by a member: give photos that none of them has seen."
        )
    labels = members[0].manifest.labels
    mode = members[0].mode
    return Dataset(
        classes=tuple(label.label for label in labels),
        train=(),
        validation=tuple(translated(to_choose_by, given, mode)),
        test=tuple(translated(to_judge_by, given, mode)),
        classes_zh=tuple(label.label_zh or label.label for label in labels),
    )


def look(
    samples: Sequence[Sample], members: Sequence[Member], views: ViewsName, settings: Settings, progress: Progress
) -> Seen:
    """What the members say of `samples`; photos that cannot be read are left out."""
    backbone, head = together(members, views)
    features, read, _ = features_of(backbone, samples, max_pixels=settings.max_pixels, progress=progress)
    probabilities = plain = head.probabilities(features)
    if views != "plain":
        backbone, head = together(members)
        features, _, _ = features_of(backbone, samples, max_pixels=settings.max_pixels, progress=progress)
        plain = head.probabilities(features)
    return Seen(tuple(read), probabilities, plain)


def costs(members: Sequence[Member], views: ViewsName) -> dict[str, list[float]]:
    """Milliseconds a photo: of all `together`, `plain` with one view, each member `alone`, and all `without` it."""
    few = range(len(members)) if len(members) > 1 else ()
    forwards = [
        _forward(members, views),
        _forward(members, "plain"),
        *(_forward([one], views) for one in members),
        *(_forward([one for place, one in enumerate(members) if place != number], views) for number in few),
    ]
    times = milliseconds(forwards, torch.empty(0))
    alone, without = times[2 : 2 + len(members)], times[2 + len(members) :]
    return {"together": times[:1], "plain": times[1:2], "alone": alone, "without": without}


def _forward(members: Sequence[Member], views: ViewsName) -> Forward:
    backbone, head = together([replace(one, weight=1 / len(members)) for one in members], views)
    image = Image.effect_noise(_PICTURE, 64).convert("RGB")

    def forward(_: Tensor) -> Tensor:
        return head.logits(backbone.features(backbone.transform(image).unsqueeze(0)))

    return forward


def merged(members: Iterable[Taught]) -> list[Photo]:
    """The photos that the members were made from; learned is what any of them learned."""
    photos: dict[str, Photo] = {}
    for photo in (photo for one in members for photo in one.photos or ()):
        before = photos.get(photo.sha256)
        if before is None or (photo.learned and not before.learned):
            photos[photo.sha256] = photo
    return list(photos.values())
