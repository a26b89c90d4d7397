"""What turns features into logits: a linear layer, or the photos that were learned by heart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import ModelError
from app.registry.manifest import Manifest

SMOOTHING = 0.05
"""What a class without a single neighbour is given of a vote: no class is ever ruled out, and no logit is infinite."""


class Head(Protocol):
    """Float32 features `[n, width]` to logits `[n, classes]`."""

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""

    @property
    def width(self) -> int:
        """How many features it needs."""

    def logits(self, features: Tensor) -> Tensor:
        """Float32 features `[n, width]` to logits `[n, classes]`."""

    def evidence(self, features: Tensor) -> Tensor:
        """What in features `[n, width]` speaks for each class, `[n, classes]`, as a function with gradients."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """`weight` [classes, width], `bias` [classes]."""

    weight: Tensor
    bias: Tensor

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.bias)

    @property
    def width(self) -> int:
        """How many features it needs."""
        return self.weight.shape[-1]

    def logits(self, features: Tensor) -> Tensor:
        """Float32 features `[n, width]` to logits `[n, classes]`."""
        with torch.inference_mode():
            return self.evidence(features)

    def evidence(self, features: Tensor) -> Tensor:
        """The same, with gradients."""
        return functional.linear(features, self.weight, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourHead:
    """The `k` most alike (by cosine) of the stored photos vote, each with equal voice.

    `neighbours` [photos, width], each of length 1; `labels` int64 [photos].
    """

    neighbours: Tensor
    labels: Tensor
    k: int
    classes: int

    @property
    def width(self) -> int:
        """How many features it needs."""
        return self.neighbours.shape[-1]

    def logits(self, features: Tensor) -> Tensor:
        """Float32 features `[n, width]` to logits `[n, classes]`: the logarithm of each class's share of the votes."""
        with torch.inference_mode():
            alike = functional.normalize(features, dim=1) @ self.neighbours.T
            nearest = alike.topk(min(self.k, len(self.labels)), dim=1).indices
            votes = functional.one_hot(self.labels[nearest], self.classes).sum(dim=1).float()
            return (votes + SMOOTHING).log()

    def evidence(self, features: Tensor) -> Tensor:
        """How like the features `[n, width]` are to the nearest stored photo of each class, `[n, classes]`: votes have
        no gradients. 0 for a class without a photo."""
        alike = functional.normalize(features, dim=1) @ self.neighbours.T
        nearest = alike.new_zeros(len(alike), self.classes)
        return nearest.scatter_reduce(1, self.labels.expand_as(alike), alike, "amax", include_self=False)


def head_of(manifest: Manifest, tensors: Mapping[str, Tensor]) -> Head:
    """The head that a version's tensors hold.

    Raises:
        ModelError: something is missing, or does not fit together.
    """
    if manifest.head == "neighbours":
        neighbours, labels = _taken(tensors, "neighbours", "labels")
        classes = len(manifest.labels)
        sound = neighbours.ndim == 2 and labels.shape == neighbours.shape[:1] and len(labels) > 0  # noqa: PLR2004
        if not sound or int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise ModelError("its neighbours and their labels do not fit together")
        return NeighbourHead(neighbours.float(), labels.long(), manifest.neighbours, classes)
    weight, bias = _taken(tensors, "weight", "bias")
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:  # noqa: PLR2004
        raise ModelError(f"its head is {tuple(weight.shape)}, and its bias {tuple(bias.shape)}")
    return LinearHead(weight.float(), bias.float())


def _taken(tensors: Mapping[str, Tensor], first: str, second: str) -> tuple[Tensor, Tensor]:
    if first not in tensors or second not in tensors:
        raise ModelError(f"its head has no {first} or no {second}")
    return tensors[first], tensors[second]
