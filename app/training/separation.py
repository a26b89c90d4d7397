"""How well a score separates the photos of a mode from all others. Pure: scores in, numbers out."""

from dataclasses import dataclass
from typing import Literal

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from app.registry.manifest import ScoreName, ScoreReference

Strangers = Literal["given", "left_out"]
KNOWN_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """How well a score tells known photos from strangers: the area under the ROC curve, and the share of strangers
    that are still let through where 95 % of the known photos are. 1 and 0 are perfect, 0.5 and 0.95 are chance."""

    name: ScoreName
    auroc: float
    fpr95: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The score kept, and the figures of all of them; `known` and `unknown`: how many photos these rest on."""

    reference: ScoreReference
    figures: tuple[ScoreFigures, ...]
    strangers: Strangers
    known: int
    unknown: int


def figures_of(name: ScoreName, known: Tensor, strangers: Tensor) -> ScoreFigures:
    """A score's figures from its values on known photos `[n]` and on strangers `[m]`."""
    truth = [1] * len(known) + [0] * len(strangers)
    auroc = float(roc_auc_score(truth, torch.cat([known, strangers]).double().numpy()))
    return ScoreFigures(name, auroc, false_positive_rate(known, strangers))


def false_positive_rate(known: Tensor, strangers: Tensor, accepted: float = KNOWN_SHARE) -> float:
    """The share of `strangers` `[m]` scored at least as high as what `accepted` of the `known` photos `[n]` reach."""
    may_go = int((1 - accepted) * len(known) + 1e-9)  # 1e-9: 0.05 * 100 is not quite 5
    return float((strangers >= known.sort().values[may_go]).double().mean())


def accepted_shares(sureness: Tensor) -> list[float]:
    """For thresholds of 0, 0.01, … 1 the share of known photos, with this `sureness` `[n]`, that keep their name."""
    return [round(float((sureness >= step / 100).double().mean()), 4) for step in range(101)]
