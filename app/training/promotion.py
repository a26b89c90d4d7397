"""A candidate beside the active version: the same held-out pictures, one verdict, and the switch where it is earned."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from app.config import Settings
from app.errors import ModelError
from app.export.check import milliseconds
from app.export.formats import Forward
from app.photos.dataset import Sample
from app.photos.snapshot import Photo, read_snapshot
from app.registry.catalog import BASE_MODE, BUILT_IN
from app.registry.manifest import is_key
from app.registry.state import active_version, complete_versions
from app.serving import switching
from app.serving.mode import Mode
from app.serving.served import served_modes
from app.training.comparison import dictionary
from app.training.evaluation import Estimate, wilson
from app.training.heldout import HeldOut, Picture, held_out
from app.training.judging import Answers, answers, class_indices
from app.training.progress import SILENT, Progress
from app.training.verdict import MOST_SLOWER, Answered, Verdict, no_pictures, verdict

KEPT_PICTURES = Path(".feedback") / "pictures"
"""Under the models folder: where the pictures of corrections lie."""
_UNKNOWN = -1
_TRIES = 3
_KNOWN_PHOTOS = 400
"""The most photos from which the base model's names are translated: one pass each."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict, the pictures it was found on, and what the untouched base model does on them.

    `strange`: classes of the pictures that neither version knows; their pictures were left out, and so were those that
    are `unreadable`. `base`: None where there is nothing to translate its names by.
    """

    mode: str
    candidate: str
    active: str
    pictures: HeldOut
    verdict: Verdict
    strange: tuple[str, ...] = ()
    unreadable: int = 0
    base: Estimate | None = None

    def facts(self) -> dict[str, Any]:
        """Everything as plain values for JSON, without the pictures themselves."""
        facts = asdict(replace(self, pictures=replace(self.pictures, pictures=())))
        corrected = sum(picture.corrected for picture in self.pictures.pictures)
        facts["pictures"] = {**facts["pictures"], "pictures": len(self.pictures.pictures), "corrected": corrected}
        return facts


def compare_versions(
    settings: Settings,
    mode: str,
    version: str,
    data: Path | None = None,
    against: str | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """`version` against another of `mode`, the active one unless `against` names it, on pictures that neither has
    learned from (`training.heldout`). Nothing is switched.

    Raises:
        ModelError: there is no such mode or version, the two are the same, or one of them cannot be served.
        DataError: the pictures cannot be read.
    """
    folder = settings.models_dir / mode
    active = rival(settings, mode, version, against)
    found = held_out(folder / version, folder / active, data, private=settings.models_dir / KEPT_PICTURES)
    *modes, base = served_modes((f"{mode}@{version}", f"{mode}@{active}", BASE_MODE), settings)
    indices = [class_indices(one) for one in modes]
    known = indices[0].keys() | indices[1].keys()
    strange = sorted({one.label for one in found.pictures if one.label.casefold() not in known})
    found = replace(found, pictures=tuple(one for one in found.pictures if one.label.casefold() in known))
    if not found.pictures:
        return Comparison(mode, version, active, found, no_pictures(version, active), tuple(strange))
    progress.start("comparing versions", len(modes) * len(found.pictures))
    given = [_answers(*pair, found.pictures, settings, progress) for pair in zip(modes, indices, strict=True)]
    progress.finish()
    unreadable = {path for one in given for path in one.unreadable}
    found = replace(found, pictures=tuple(one for one in found.pictures if one.path not in unreadable))
    sides = [_answered(*one, unreadable) for one in zip(modes, indices, given, _milliseconds(modes), strict=True)]
    labels, corrected = [one.label for one in found.pictures], [one.corrected for one in found.pictures]
    judged = verdict(labels, corrected, *sides)
    share = _baseline(base, read_snapshot(folder / version) or (), found.pictures, settings)
    return Comparison(mode, version, active, found, judged, tuple(strange), len(unreadable), share)


def rival(settings: Settings, mode: str, version: str, against: str | None = None) -> str:
    """The active version that `version` would replace; or `against`, which need not be active.

    Raises:
        ModelError: there is no such mode or version, or the two are the same.
    """
    if mode in BUILT_IN:
        raise ModelError(f"The mode {mode} is the baseline and is never replaced.")
    folder = settings.models_dir / mode
    for name in filter(None, (version, against)):
        if not is_key(mode) or not is_key(name) or name not in complete_versions(folder):
            raise ModelError(f"There is no version {name} of a mode {mode}.")
    if against is not None:
        if against == version:
            raise ModelError(f"{version} cannot be compared with itself.")
        return against
    active = active_version(folder)
    if active is None:
        raise ModelError(f"The mode {mode} has no active version.")
    if active == version:
        raise ModelError(f"{version} is the active version of {mode} already.")
    return active


def switch(settings: Settings, comparison: Comparison, *, by: str, why: str = "", forced: bool = False) -> bool:
    """Promote where the verdict says so, or where `forced`; whether it was done. The history gets the verdict's reason.

    Raises:
        ModelError: it cannot be served, or another version has become active since the comparison.
    """
    earned = comparison.verdict.decision == "promote"
    if not earned and not forced:
        return False
    now = active_version(settings.models_dir / comparison.mode)
    if now != comparison.active:
        raise ModelError(f"{now} has become the active version of {comparison.mode} in the meantime: compare again.")
    reason = " ".join(filter(None, [why, comparison.verdict.reason]))
    switching.promote(
        settings, comparison.mode, comparison.candidate, by=by, why=reason, forced=forced and not earned
    )  # fmt: skip
    return True


def promote_blindly(settings: Settings, mode: str, version: str, error: str, *, by: str, why: str) -> None:
    """Promote by force what could not be compared, because of `error`.

    Raises:
        ModelError: there is no such version, it is the active one, or it cannot be served.
    """
    rival(settings, mode, version)
    reason = " ".join(filter(None, [why, f"It was not compared: {error}"]))
    switching.promote(settings, mode, version, by=by, why=reason, forced=True)


def _answers(
    mode: Mode,
    indices: dict[str, int],
    pictures: Sequence[Picture | Photo],
    settings: Settings,
    progress: Progress = SILENT,
) -> Answers:
    samples = [Sample(one.path, indices.get(one.label.casefold(), _UNKNOWN)) for one in pictures]
    return answers(mode, samples, max_pixels=settings.max_pixels, progress=progress)


def _answered(
    mode: Mode, indices: dict[str, int], given: Answers, time: float, unreadable: Collection[Path]
) -> Answered:
    """What the verdict needs of `mode`'s answers; a class that it does not know is wrong whatever it says."""
    kept = torch.tensor([path not in unreadable for path in given.predictions.paths])
    confidences, guesses = given.predictions.probabilities[kept].max(dim=1)
    right = (guesses == given.predictions.labels[kept]).tolist()
    return Answered(mode.model.version, tuple(right), confidences, frozenset(indices), time)


def _milliseconds(modes: Sequence[Mode]) -> list[float]:
    """One picture through each, medians of turns; a ratio over the limit is measured again, for it may be chance."""
    for _ in range(_TRIES):
        taken = milliseconds([_forward(mode) for mode in modes], torch.empty(0))
        if taken[0] <= MOST_SLOWER * taken[1]:
            break
    return taken


def _forward(mode: Mode) -> Forward:
    crop = mode.backbone.transform.crop
    picture = torch.zeros(1, 3, crop, crop)
    return lambda _: mode.probabilities(mode.backbone.features(picture))


def _baseline(base: Mode, photos: Sequence[Photo], pictures: Sequence[Picture], settings: Settings) -> Estimate | None:
    """The share that `imagenet` has right, untouched, when each of its names stands for the class it mostly meant."""
    known = [photo for photo in photos if photo.learned and photo.label and photo.path.is_file()]
    known = known[:: max(1, math.ceil(len(known) / _KNOWN_PHOTOS))]
    if not known:
        return None
    names = sorted({one.label.casefold() for one in known} | {one.label.casefold() for one in pictures})
    place = {name: index for index, name in enumerate(names)}
    taught, judged = (_answers(base, place, some, settings).predictions for some in (known, pictures))
    guesses = dictionary(taught, len(base.labels), len(names))[judged.probabilities.argmax(dim=1)]
    return wilson(int((guesses == judged.labels).sum()), len(judged.labels))
