"""What the scores that compare are compared with, made from the photos learned."""

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from app.registry.manifest import ScoreName, ScoreReference
from app.serving.score import Score
from app.training.head import Examples
from app.training.loss import UNLABELLED
from app.training.whitening import inverse_root

NAMES: tuple[ScoreName, ...] = get_args(ScoreName)
SHRINKAGE = 0.5
"""Of the covariance within classes towards a ball: with 512 features and a hundred photos no other inverts."""

Scores = Mapping[ScoreName, Tensor]
"""By name, the raw scores `[n]` of some photos."""


def reference_tensors(name: ScoreName, examples: Examples, standard: Tensor) -> dict[str, Tensor]:
    """The tensors of `serving.score.Score` for one score; only the plain view counts, which is what serving sees."""
    examples = labelled(examples)
    if name == "knn":
        return {"known": functional.normalize(examples.features[0], dim=1)}
    if name == "mahalanobis":
        return _spread(examples)
    return {**_spread(examples), "standard": standard} if name == "joint" else {}


def raw_scores(learned: Examples, features: Tensor, logits: Tensor, standard: Tensor | None = None) -> Scores:
    """Every score of features `[n, D]` with logits `[n, classes]`, by who has learned from `learned`.

    `standard` as in `serving.score`; without it, it is that of these very photos, which must then be known ones.
    """
    scores: dict[ScoreName, Tensor] = {}
    for name in NAMES:
        if name != "joint":
            tensors = reference_tensors(name, learned, torch.zeros(2, 2))
            scores[name] = Score(ScoreReference(name=name), tensors).raw(features, logits)
    return with_joint(scores, standard)


def with_joint(scores: Scores, standard: Tensor | None = None) -> Scores:
    """The same, with `joint` made of the others; `standard` as for `raw_scores`."""
    mean, deviation = standard_of(scores) if standard is None else standard
    return {**scores, "joint": ((_parts(scores) - mean) / deviation).sum(dim=1)}


def standard_of(known: Scores) -> Tensor:
    """Mean and deviation, each [2], of the two parts of `joint` over known photos."""
    both = _parts(known)
    deviation = both.std(dim=0) if len(both) > 1 else torch.ones(2)
    return torch.stack([both.mean(dim=0), deviation.clamp_min(1e-6)])


def labelled(examples: Examples) -> Examples:
    """Without the photos that nobody has named."""
    return taken(examples, (examples.labels != UNLABELLED).nonzero().flatten())


def taken(examples: Examples, places: Tensor) -> Examples:
    """The photos at `places`, in all their views."""
    teacher = None if examples.teacher is None else examples.teacher[:, places]
    return Examples(examples.features[:, places], examples.labels[places], teacher)


def _parts(scores: Scores) -> Tensor:
    return torch.stack([scores["msp"].clamp_min(1e-30).log(), scores["mahalanobis"]], dim=1)


def _spread(examples: Examples) -> dict[str, Tensor]:
    """Class means of features of length 1, and a root of the inverse of their shrunk covariance within classes."""
    known = functional.normalize(examples.features[0], dim=1)
    present, places = examples.labels.unique(return_inverse=True)
    members = functional.one_hot(places, len(present)).float()
    means = members.T @ known / members.sum(0).unsqueeze(1)
    return {"means": means, "root": inverse_root(known - means[places], SHRINKAGE)}
