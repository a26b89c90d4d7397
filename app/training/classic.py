"""The recipes without epochs, on the same cached features: class means, neighbours, support vectors.

scikit-learn fits them; what is written is served without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional

from app.serving.head import Head, LinearHead, NeighbourHead
from app.training.head import Examples
from app.training.options import Options


@dataclass(frozen=True, slots=True, eq=False)
class Classic:
    """A fitted head, its tensors for `write_version`, and its kind for the manifest."""

    head: Head
    tensors: Mapping[str, Tensor]
    kind: Literal["linear", "neighbours"] = "linear"
    neighbours: int = 5


def fit_classic(train: Examples, classes: int, options: Options) -> Classic:
    """Fit `options.recipe`; every class of 0 … classes - 1 has a photo in `train`."""
    rows, labels = train.features.flatten(0, 1), train.labels.repeat(len(train.features))
    if options.recipe == "knn":
        # Of few photos: were as many to vote as there are, all classes would have the same; and two often disagree.
        fewer = max(1, len(train.labels) // classes)
        neighbours = options.neighbours if fewer >= options.neighbours else fewer - (fewer % 2 == 0)
        return _neighbours(rows, labels, classes, neighbours * len(train.features))
    scale = float(rows.norm(dim=1).mean())
    weight, bias = (
        _prototype(rows / scale, labels) if options.recipe == "prototype" else _svm(rows / scale, labels, options)
    )
    head = LinearHead((weight / scale).float().contiguous(), bias.float().contiguous())
    return Classic(head, {"weight": head.weight, "bias": head.bias})


def _prototype(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest class mean as a linear layer: -|x - m|^2 = 2 m.x - |m|^2 - |x|^2, the last the same for every class."""
    means = torch.stack([rows[labels == label].mean(dim=0) for label in range(int(labels.max()) + 1)])
    return 2 * means, -means.square().sum(1)


def _svm(rows: Tensor, labels: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Linear support vectors, each class against the rest (Fan et al. 2008)."""
    machine = LinearSVC(
        random_state=options.seed, class_weight=None if options.balance == "none" else "balanced", max_iter=5000
    )
    machine.fit(rows.numpy(), labels.numpy())
    weight, bias = torch.from_numpy(machine.coef_), torch.from_numpy(machine.intercept_)
    if len(weight) == 1:  # two classes have one boundary: each side's logit is its distance
        weight, bias = torch.cat([-weight, weight]), torch.cat([-bias, bias])
    return weight, bias


def _neighbours(rows: Tensor, labels: Tensor, classes: int, k: int) -> Classic:
    head = NeighbourHead(functional.normalize(rows, dim=1).contiguous(), labels, min(k, len(labels)), classes)
    return Classic(head, {"neighbours": head.neighbours, "labels": head.labels}, "neighbours", head.k)
