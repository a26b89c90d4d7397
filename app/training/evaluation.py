"""How good a mode is, with how sure one can be of it: figures with 95 % intervals, calibration, the threshold.

Every function here is pure: tensors in, numbers out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import confusion_matrix
from torch import Tensor

BINS = 10
"""Of the reliability diagram. Guo et al. use 15 for ten thousand pictures; here there are often two hundred."""
_NORMAL_95 = NormalDist().inv_cdf(0.975)
_TEMPERATURES = (0.05, 20.0)
_THRESHOLD_STEP = 1000
"""Thresholds are rounded down to a thousandth, so that a rounding error in serving never turns a known photo away."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share between 0 and 1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: `count` pictures of it; a figure is None where nothing was there to count (0 of 0)."""

    label: str
    count: int
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pictures whose confidence lay in `low` to `high`: their mean confidence, and how many of them were right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a mode's answers were worth on `n` pictures. `confusion[true][answered]` counts pictures."""

    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_recall: float
    classes: tuple[ClassFigures, ...]
    confusion: list[list[int]]
    expected_calibration_error: float
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """The expected calibration error of `n` photos at T = 1, and at a temperature never fitted on the photo itself."""

    n: int
    error_before: float
    error_after: float


def evaluate(probabilities: Tensor, labels: Tensor, classes: Sequence[str]) -> Evaluation:
    """Judge `probabilities` [n, C] against the true `labels` [n]; `classes` are the C names. n must be at least 1.

    Accuracy, precision and recall carry Wilson intervals (Wilson 1927). `macro_recall` is the mean over the classes
    that have pictures, so that a small class counts as much as a large one.
    """
    confidences, answers = probabilities.max(dim=1)
    confusion = confusion_matrix(labels.numpy(), answers.numpy(), labels=range(len(classes)))
    right = int(confusion.trace())
    accuracy = wilson(right, len(labels))
    bins = reliability(confidences, answers == labels)
    figures = tuple(_class_figures(label, index, confusion) for index, label in enumerate(classes))
    recalls = [one.recall.value for one in figures if one.recall]
    return Evaluation(
        n=len(labels),
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        macro_recall=sum(recalls) / len(recalls),
        classes=figures,
        confusion=confusion.tolist(),
        expected_calibration_error=calibration_error(bins),
        reliability=bins,
    )


def wilson(successes: int, trials: int) -> Estimate:
    """`successes` of `trials` (at least 1) as a share, with Wilson's 95 % interval.

    scipy's is the same, but tests a hypothesis first, which makes it a thousand times slower.
    """
    share, spread = successes / trials, _NORMAL_95**2 / trials
    centre, half = share + spread / 2, math.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (centre - half) / (1 + spread), (centre + half) / (1 + spread)
    # At the ends the formula gives exactly 0 or 1, but for the last bit.
    return Estimate(share, low if successes else 0.0, high if successes < trials else 1.0)


def reliability(confidences: Tensor, right: Tensor) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram of `confidences` [n] and whether each was `right` [n], in `BINS` bins of equal width."""
    bins = []
    places = (confidences * BINS).ceil().long().clamp(1, BINS) - 1  # a bin holds its upper end, as in Guo et al.
    for place in range(BINS):
        inside = places == place
        count = int(inside.sum())
        confidence = float(confidences[inside].double().mean()) if count else 0.0
        accuracy = float(right[inside].double().mean()) if count else 0.0
        bins.append(ReliabilityBin(place / BINS, (place + 1) / BINS, count, confidence, accuracy))
    return tuple(bins)


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error (Naeini et al. 2015): the gap of confidence and accuracy, a mean over the pictures."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / total


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which softmax(`logits` [n, C] / T) best fits `labels` [n] (Guo et al. 2017, section 4.2).

    The targets are smoothed as Platt (1999) did, as if a picture in n + 2 were another class: a small validation part
    that is answered without a mistake would otherwise call for T = 0, and every later answer would claim 100 %.
    """
    scores = logits.double()
    count, width = scores.shape
    missing = 1 / (count + 2)
    targets = torch.full_like(scores, missing / (width - 1))
    targets[torch.arange(count), labels] = 1 - missing

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores / math.exp(log_temperature), targets))

    low, high = (math.log(end) for end in _TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x)


def choose_threshold(sureness: Tensor, *, accepted: float = 0.95) -> tuple[float, float]:
    """The highest threshold that leaves at least `accepted` of known pictures their name, and the share it costs.

    `sureness` [n] is of pictures that do show one of the classes, each between 0 and 1; a picture is called unknown
    where it is below the threshold. Returns (threshold, share of these pictures called unknown).
    """
    ordered = sureness.double().sort().values
    may_go = int((1 - accepted) * len(ordered) + 1e-9)  # 1e-9: 0.05 * 100 is not quite 5
    threshold = math.floor(float(ordered[may_go]) * _THRESHOLD_STEP) / _THRESHOLD_STEP
    return threshold, float((ordered < threshold).double().mean())


def _class_figures(label: str, index: int, confusion: NDArray[np.int64]) -> ClassFigures:
    right = int(confusion[index, index])
    count, answered = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassFigures(
        label=label,
        count=count,
        precision=wilson(right, answered) if answered else None,
        recall=wilson(right, count) if count else None,
        f1=_f1(right, count + answered - right),
    )


def _f1(right: int, union: int) -> Estimate | None:
    """F1 from the pictures `right`, and the `union` of those of the class and those answered with it.

    F1 = 2J / (1 + J) with J = right / union, which is a share like any other: its Wilson interval, sent through the
    same rising function, is F1's. Unlike a bootstrap it does not shrink to nothing where every picture was right.
    """
    if not union:
        return None
    share = wilson(right, union)
    return Estimate(*(2 * one / (1 + one) for one in (share.value, share.low, share.high)))
