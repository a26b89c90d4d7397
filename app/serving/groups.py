"""The answer one level up: a dog, where it is not sure which breed."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from app.vision.labels import Label

GROUP_THRESHOLD = 0.8
"""From here on a group is named, and never below the class's own threshold; docs/ACCURACY.md says how often rightly."""

NAMELESS = "thing of another kind"
"""The group of what belongs to no other: nobody is helped by hearing its name."""


@dataclass(frozen=True, slots=True)
class GroupGuess:
    """The group that the classes speak for most, and the sum of their probabilities."""

    group: str
    group_zh: str
    confidence: float

    def reaches(self, threshold: float) -> bool:
        """Whether it may be named where a class must reach `threshold`."""
        return self.confidence >= max(threshold, GROUP_THRESHOLD)


def best_group(probabilities: Tensor, labels: Sequence[Label]) -> GroupGuess | None:
    """The best group of one picture's `probabilities` [classes]; None for a mode whose labels are in no groups."""
    sums: dict[tuple[str, str], float] = {}
    for label, probability in zip(labels, probabilities.tolist(), strict=True):
        if label.group and label.group_zh and label.group != NAMELESS:
            pair = label.group, label.group_zh
            sums[pair] = sums.get(pair, 0.0) + probability
    if not sums:
        return None
    (group, group_zh), confidence = max(sums.items(), key=lambda item: item[1])
    return GroupGuess(group, group_zh, min(confidence, 1.0))
