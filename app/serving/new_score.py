"""The score of a mode that gets a class: what it compares with grows, and it must not take few photos for strangers."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from app.serving.mode import Mode
from app.serving.score import Score, sureness_of


def grown_score(mode: Mode, plain: Tensor, mirrored: Tensor, lift: float) -> Score:
    """The score of `mode`, with the new class: its photos' features `[n, D]`, also mirrored, so that a handful are
    as many neighbours as it asks for; or their mean; and its `lift`."""
    more = {
        "known": torch.cat([functional.normalize(one, dim=1) for one in (plain, mirrored)]),
        "means": functional.normalize(plain, dim=1).mean(dim=0, keepdim=True),
        "lift": torch.tensor([lift]),
    }
    tensors = dict(mode.score.tensors)
    if lift:
        tensors.setdefault("lift", torch.zeros(len(mode.labels)))
    return replace(
        mode.score,
        tensors={name: torch.cat([one, more[name].to(one)]) if name in more else one for name, one in tensors.items()},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """The new photos, each judged by the class that the others make: whether it is `right` [n], and its `score` [n]."""

    right: Tensor
    score: Tensor

    def named(self, mode: Mode) -> int:
        """How many are right and not called unknown, each lifted by what the others call for."""
        count = 0
        for place in range(len(self.score)):
            others = torch.cat([self.score[:place], self.score[place + 1 :]])
            sureness = _sureness(mode, self.score[place] + lift_for(mode, others))
            count += bool(self.right[place]) and float(sureness) >= mode.threshold
        return count


def score_by(mode: Mode, features: Tensor) -> Tensor:
    """What the mode goes by, `[n]`, for features `[n, D]`: its raw score, or the calibrated probability itself."""
    if mode.score.reference.name == "msp":
        return mode.judged(features)[1]
    return mode.score.raw(features, mode.logits(features))


def lift_for(mode: Mode, scores: Tensor) -> float:
    """What brings the median of these scores `[n]` of the new class up to the threshold.

    A photo lies farther from the four others of its class than from the hundreds that a trained class has, and would be
    called unknown for it; more than the median would let strangers in (docs/ACCURACY.md). 0 for a probability, which
    knows no distance.
    """
    reference = mode.score.reference
    if reference.name == "msp" or not 0 < mode.threshold < 1:
        return 0.0
    needed = reference.centre + reference.scale * math.log(mode.threshold / (1 - mode.threshold))
    return max(needed - float(scores.median()), 0.0)


def _sureness(mode: Mode, score: Tensor) -> Tensor:
    reference = mode.score.reference
    return score if reference.name == "msp" else sureness_of(reference, score)
