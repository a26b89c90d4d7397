"""Numbers of an ensemble: weights that suit its members, and what each of them adds.

Every function here is pure. `probabilities` are the members', calibrated, `[members, n, classes]`; `weights`
`[n, members]` has a row a photo, since a photo must not be judged by weights that were fitted on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from app.training.evaluation import fit_temperature, wilson
from app.training.loop import seed_of
from app.training.paired import difference, mcnemar, pairs

FOLDS = 5
Weigh = Callable[[Tensor, Tensor], Sequence[float]]
"""Probabilities and labels to the weights of the members, which sum to 1."""


def equal_weights(probabilities: Tensor, labels: Tensor) -> list[float]:
    """The same for each."""
    return [1 / len(probabilities)] * len(probabilities)


def fitted_weights(probabilities: Tensor, labels: Tensor) -> list[float]:
    """The weights, none below 0, of which the mean makes the true `labels` [n] likeliest: a convex problem.

    Each member is given one photo's worth of belief beforehand (a flat prior, Laplace 1814): where photos are few, none
    is thrown out for a single mistake.
    """
    members = len(probabilities)
    truth = probabilities.double()[:, torch.arange(len(labels)), labels].numpy()

    def loss(weights: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        likely = np.log(np.maximum(weights @ truth, 1e-12)).sum()
        return -float(likely + np.log(np.maximum(members * weights, 1e-12)).sum()) / len(labels)

    found = minimize(
        loss,
        np.full(members, 1 / members),
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-10, "maxiter": 500},
    ).x.clip(0, 1)
    return [float(weight) for weight in found / found.sum()]


def mean(probabilities: Tensor, weights: Tensor) -> Tensor:
    """The ensemble's probabilities `[n, classes]`."""
    return torch.einsum("nm,mnc->nc", weights.to(probabilities.dtype), probabilities)


def calibrated(probabilities: Tensor, temperature: float) -> Tensor:
    """Probabilities `[n, classes]`, softened by a temperature of their logarithms, as `serving.mode` does."""
    return torch.softmax(probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log() / temperature, dim=1)


def fitted(probabilities: Tensor, labels: Tensor, weigh: Weigh) -> tuple[list[float], float]:
    """The weights of the members, and the temperature that suits what they say together."""
    weights = list(weigh(probabilities, labels))
    together = mean(probabilities, torch.tensor([weights]).expand(len(labels), -1))
    return weights, fit_temperature(together.clamp(min=torch.finfo(together.dtype).tiny).log(), labels)


def crossed(probabilities: Tensor, labels: Tensor, weigh: Weigh, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Weights `[n, members]` and calibrated answers `[n, classes]` for the photos that both are fitted on: each by what
    the other photos say, in `FOLDS` parts."""
    count = len(labels)
    generator = torch.Generator().manual_seed(seed_of(seed, "folds"))
    folds = torch.randperm(count, generator=generator) % min(FOLDS, count)
    weights = torch.zeros(count, len(probabilities))
    answers = torch.zeros_like(probabilities[0])
    for fold in folds.unique():
        inside, outside = folds == fold, folds != fold
        if not outside.any():
            outside = inside
        own, temperature = fitted(probabilities[:, outside], labels[outside], weigh)
        weights[inside] = torch.tensor(own)
        answers[inside] = calibrated(mean(probabilities[:, inside], weights[inside]), temperature)
    return weights, answers


def without(weights: Tensor, member: int) -> Tensor:
    """The weights of the others, which sum to 1 again; the same for each where it had all."""
    left = weights.clone()
    left[:, member] = 0
    total = left.sum(1, keepdim=True)
    others = torch.ones_like(left)
    others[:, member] = 0
    return torch.where(total > 0, left / total.clamp(min=1e-12), others / others.sum(1, keepdim=True).clamp(min=1))


def share(right: Tensor) -> dict[str, float]:
    """How many were `right` [n], with the interval."""
    return {"accuracy": (one := wilson(int(right.sum()), len(right))).value, "low": one.low, "high": one.high}


def gain(right: Tensor, before: Tensor) -> dict[str, float]:
    """How much more of the same photos were `right` [n] than `before` [n], with its interval, and McNemar's p."""
    counted = pairs(right.tolist(), before.tolist())
    return {**asdict(difference(counted)), "p": mcnemar(counted)}


def members_figures(probabilities: Tensor, labels: Tensor, weights: Tensor) -> list[dict[str, Any]]:
    """For each member how good it is `alone`, what the others are `without` it, and what it `adds` to them."""
    together = mean(probabilities, weights).argmax(1) == labels
    rows = []
    for member, own in enumerate(probabilities):
        row: dict[str, Any] = {"alone": share(own.argmax(1) == labels), "without": None, "adds": None}
        if len(probabilities) > 1:
            others = mean(probabilities, without(weights, member)).argmax(1) == labels
            row |= {"without": share(others), "adds": gain(together, others)}
        rows.append(row)
    return rows
