"""Whether a mode is shown what it was taught with: the mix of classes in its answers, against its training photos.

The measure is the Jensen-Shannon distance, the root of the divergence in J. Lin, "Divergence Measures Based on the
Shannon Entropy", 1991 (a metric: Endres and Schindelin, 2003), with logarithms to base 2: 0 is the same mix, 1 nothing
in common. Unlike the population stability index it is finite where a class was never named. By chance alone n answers
over k classes lie about sqrt((k - 1) / (5.5 n)) away.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric

from app.errors import DataError
from app.photos.snapshot import read_snapshot
from app.serving.mode import Mode

MAX_CLASSES = 50
"""A mode of more is counted by its groups, or not at all: each name is a series that Prometheus keeps."""
MIN_ANSWERS = 100
MIN_ANSWERS_A_CLASS = 10
"""Below these the distance would be chance."""

Named = dict[tuple[str, str], dict[str, float]]
"""By mode and version: how often each class was named."""


def class_names(mode: Mode) -> tuple[str, ...]:
    """What the answers of `mode` are counted as: its classes, or its groups where those are too many; perhaps none."""
    if len(mode.labels) <= MAX_CLASSES:
        return tuple(label.label for label in mode.labels)
    groups = sorted({label.group for label in mode.labels if label.group})
    return tuple(groups) if len(groups) <= MAX_CLASSES else ()


def class_name(mode: Mode, index: int) -> str | None:
    """As what an answer of the class `index` is counted."""
    label = mode.labels[index]
    return label.label if len(mode.labels) <= MAX_CLASSES else label.group


def trained_mix(models_dir: Path, mode: Mode) -> Mapping[str, float] | None:
    """The share of each class in the photos that `mode` was taught with; None where its version does not say."""
    if not 0 < len(mode.labels) <= MAX_CLASSES:
        return None
    try:
        return _mix(models_dir / mode.key / mode.model.version, mode.model.sha256, class_names(mode))
    except (OSError, DataError):
        return None


@lru_cache(maxsize=256)
def _mix(version: Path, _sha256: str, names: tuple[str, ...]) -> Mapping[str, float] | None:
    """Versions never change, so each is read once; `_sha256` tells one from another that had its name before.

    Raises:
        OSError, DataError: it cannot be read now.
    """
    photos = read_snapshot(version) or ()
    counts = Counter(photo.label for photo in photos if photo.part == "train")
    total = sum(counts[name] for name in names)
    return {name: counts[name] / total for name in names} if total else None


def jensen_shannon(one: Sequence[float], other: Sequence[float]) -> float:
    """The distance of two mixes, whose shares each sum to 1: 0 to 1."""
    middle = [(p + q) / 2 for p, q in zip(one, other, strict=True)]
    divergence = sum(
        share * math.log2(share / half) / 2
        for mix in (one, other)
        for share, half in zip(mix, middle, strict=True)
        if share > 0
    )
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def families(named: Named, modes: Iterable[Mode], models_dir: Path) -> Iterator[Metric]:
    """The gauges of the modes served now: what each was taught with, and how far from that its answers are."""
    shares = GaugeMetricFamily(
        "wanwu_trained_share",
        "Share of each class in the photos that a version was taught with.",
        labels=["mode", "version", "label"],
    )
    drifts = GaugeMetricFamily(
        "wanwu_class_drift",
        "Jensen-Shannon distance (base 2: 0 the same, 1 nothing in common) of the classes named since the start from "
        "those of the training photos; not before 100 answers, and 10 for each class.",
        labels=["mode", "version"],
    )
    for mode in modes:
        mix = trained_mix(models_dir, mode)
        if mix is None:
            continue
        key = (mode.key, mode.model.version)
        for name, share in mix.items():
            shares.add_metric([*key, name], share)
        counts = [named.get(key, {}).get(name, 0.0) for name in mix]
        total = sum(counts)
        if total >= max(MIN_ANSWERS, MIN_ANSWERS_A_CLASS * len(mix)):
            drifts.add_metric(key, jensen_shannon([count / total for count in counts], list(mix.values())))
    yield shares
    yield drifts
