"""Which score tells the photos of a mode from all others, and how sure it must be: chosen on photos held out.

The strangers are whatever unknown pictures the user gives; where there are none, each class in its turn plays one.
"""

from collections.abc import Sequence

import torch
from sklearn.linear_model import LogisticRegression

from app.registry.manifest import ScoreName, ScoreReference
from app.training.crossfit import HeldOut
from app.training.references import NAMES
from app.training.separation import Choice, ScoreFigures, Strangers, figures_of


def choose_score(
    pairs: Sequence[tuple[HeldOut, HeldOut]], strangers: Strangers, asked: ScoreName | None = None
) -> Choice:
    """The score that tells best, by the mean area over `pairs` of (known, strangers); `asked`: take that one instead.

    Equal ones go by their order, the simplest first. With no pairs at all it is `msp`.
    """
    figures = tuple(_mean(name, pairs) for name in NAMES) if pairs else ()
    kept = asked or (max(figures, key=lambda one: round(one.auroc, 3)).name if figures else "msp")
    known, unknown = (sum(len(pair[side].labels) for pair in pairs) for side in (0, 1))
    return Choice(_scaled(kept, pairs), figures, strangers, known, unknown)


def _mean(name: ScoreName, pairs: Sequence[tuple[HeldOut, HeldOut]]) -> ScoreFigures:
    each = [figures_of(name, known.scores[name], strange.scores[name]) for known, strange in pairs]
    return ScoreFigures(name, sum(one.auroc for one in each) / len(each), sum(one.fpr95 for one in each) / len(each))


def _scaled(name: ScoreName, pairs: Sequence[tuple[HeldOut, HeldOut]]) -> ScoreReference:
    """The score with the centre and scale of its sureness: a logistic curve (Platt 1999) through known and strangers,
    either side counting the same, however many there are of it."""
    if name == "msp" or not pairs:
        return ScoreReference(name=name)
    known, strange = (torch.cat([pair[side].scores[name] for pair in pairs]).double() for side in (0, 1))
    both = torch.cat([known, strange])
    mean, deviation = float(both.mean()), max(float(both.std()), 1e-6)
    machine = LogisticRegression(class_weight="balanced")
    machine.fit(((both - mean) / deviation).unsqueeze(1).numpy(), [1] * len(known) + [0] * len(strange))
    slope = max(float(machine.coef_[0, 0]), 1e-3)  # where known photos do not even score higher, nothing is sure
    return ScoreReference(
        name=name, centre=mean - deviation * float(machine.intercept_[0]) / slope, scale=deviation / slope
    )
