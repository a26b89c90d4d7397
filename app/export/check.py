"""Whether a written file says what the served mode says, and how long it takes to say it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from app.errors import ExportError, RequestError
from app.export.formats import Format, Forward
from app.photos.files import find_pictures
from app.serving.batching import MAX_BATCH
from app.serving.compile import AGREEMENT
from app.serving.mode import Mode
from app.serving.quantisation import drawn_pictures
from app.vision.picture import decode
from app.vision.transform import Transform

PICTURES = 50
_ROUNDS, _PASSES = 5, 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What an `Agreement` must reach: `same_top_1` and `features` at least, `moved_mean` and `moved_most` at most."""

    same_top_1: float
    moved_mean: float
    moved_most: float
    features: float


FAITHFUL = Limits(same_top_1=0.98, moved_mean=1e-3, moved_most=1e-3, features=AGREEMENT)
"""For the formats in float32. Of 50 pictures one may be as near to two classes as makes no difference."""
LOWER = Limits(same_top_1=0.8, moved_mean=0.1, moved_most=0.5, features=AGREEMENT)
"""For the lower precisions. A drawn picture shows nothing, so that the best of 1000 guesses is often a near thing:
ResNet-18 in int8 keeps its best answer on 90 % of them with 5 % of the probability moved, on photographs 100 % and 3 %.
EfficientNet-Lite0, which int8 harms, has 78 % and 29 %."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A file's answers beside the served mode's.

    `moved` is the share of a picture's probability that lies with other classes, which is half the sum of the
    differences: no class differs by more. `features`: the least cosine of a picture's features, where it was taken.
    """

    pictures: int
    same_top_1: float
    moved_mean: float
    moved_most: float
    features: float | None = None

    def within(self, limits: Limits) -> bool:
        """Whether the file may be given to somebody; never where a figure is not a number."""
        return (
            self.same_top_1 >= limits.same_top_1
            and self.moved_mean <= limits.moved_mean
            and self.moved_most <= limits.moved_most
            and (self.features is None or self.features >= limits.features)
        )

    def sentence(self, limits: Limits) -> str:
        """The figures for the operator, each with its limit."""
        words = [
            f"the same best answer on {self.same_top_1:.0%} (at least {limits.same_top_1:.0%})",
            f"{self.moved_mean:.2%} of the probability elsewhere (at most {limits.moved_mean:.1%})",
            f"{self.moved_most:.2%} in the worst picture (at most {limits.moved_most:.1%})",
        ]
        if self.features is not None:
            words.append(f"features alike to {self.features:.3f} (at least {limits.features:.2f})")
        return f"{self.pictures} pictures: " + ", ".join(words)


def limits_of(format_: Format) -> Limits:
    """What a file of that format must reach."""
    return FAITHFUL if format_ in ("torchscript", "onnx") else LOWER


class Judge:
    """Holds the served mode's answers on `pictures` [n, 3, crop, crop], and other answers against them."""

    def __init__(self, mode: Mode, pictures: Tensor) -> None:
        self.pictures = pictures
        self._features = _in_parts(mode.backbone.features, pictures)
        self._probabilities = mode.probabilities(self._features)

    def agreement(self, forward: Forward, backbone: nn.Module | None = None) -> Agreement:
        """Of a file's probabilities, and of a backbone's features where one is given."""
        answers = _in_parts(forward, self.pictures)
        moved = (answers - self._probabilities).abs().sum(dim=1) / 2
        same = answers.argmax(dim=1) == self._probabilities.argmax(dim=1)
        similar = None
        if backbone is not None:
            features = _in_parts(backbone, self.pictures)
            similar = float(torch.cosine_similarity(features, self._features).min())
        count = len(self.pictures)
        return Agreement(count, int(same.sum()) / count, float(moved.mean()), float(moved.max()), similar)


def pictures_to_check(photos: Path | None, transform: Transform, max_pixels: int) -> Tensor:
    """Up to 50 photos from a folder, evenly chosen; without one, 50 drawn pictures: `[n, 3, crop, crop]`, normalised.

    Raises:
        ExportError: none of the photos can be read.
    """
    if photos is None:
        return drawn_pictures(PICTURES, transform, seed=2)  # int8 was calibrated on those of seed 0
    paths = find_pictures([photos])
    read = []
    for path in paths[:: max(1, len(paths) // PICTURES)][:PICTURES]:
        try:
            picture = decode(path.read_bytes(), max_pixels=max_pixels, shortest_side=transform.resize)
        except (OSError, RequestError):
            continue
        read.append(transform(picture.image))
    if not read:
        raise ExportError("There is no photo to check with in that folder.")
    return torch.stack(read)


def milliseconds(forwards: Sequence[Forward], picture: Tensor) -> list[float]:
    """What one picture `[1, 3, crop, crop]` takes in each: medians of turns, so that a busy moment harms all alike."""
    taken: list[list[float]] = [[] for _ in forwards]
    for _ in range(_ROUNDS):
        for forward, times in zip(forwards, taken, strict=True):
            forward(picture)  # the threads of the one before may still be spinning
            for _ in range(_PASSES):
                started = time.perf_counter()
                forward(picture)
                times.append(1000 * (time.perf_counter() - started))
    return [median(times) for times in taken]


def _in_parts(forward: Forward, pictures: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([forward(part) for part in pictures.split(MAX_BATCH)])
