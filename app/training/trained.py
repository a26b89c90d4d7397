"""What every recipe hands to the run: a network that answers, and how it came about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from app.photos.dataset import Sample
from app.training.crossfit import Fit, Logits
from app.training.head import Examples
from app.training.outcome import EpochRecord
from app.training.smaller import Smaller

Features = Callable[[str, tuple[Sample, ...]], Tensor]
"""The name of a part and its photos to what serving would make of them, features `[n, D]`."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """`tensors` are what `write_version` takes; `features` and `head` are those of the network that they hold.

    `train`: the training part as it was learned from; `validation_features` [n, D] and `validation`, logits [n,
    classes], are what the network made of the validation part before it learned from that part, too. `learned`: all
    that was learned from in the end. `fit`: fits the recipe once more, to other photos; None where that takes too long.
    """

    tensors: Mapping[str, Tensor]
    features: Features
    head: Logits
    train: Examples
    validation_features: Tensor
    validation: Tensor
    learned: Examples
    fit: Fit | None
    history: tuple[EpochRecord, ...] = ()
    stopped_because: str = "fitted in one step"
    tuned: bool = False
    kind: Literal["linear", "neighbours"] = "linear"
    neighbours: int = 5
    chosen: Mapping[str, Any] | None = None
    """What the recipe chose by itself, for the manifest's options."""
    search: Mapping[str, Any] | None = None
    """What a search for its options tried, for the report."""
    smaller: Smaller | None = None
    """The networks before and after pruning, or fine-tuning for int8."""

    def logits(self, name: str, samples: tuple[Sample, ...]) -> Tensor:
        """What the network says of the photos of the part `name`, `[n, classes]`."""
        return self.head(self.features(name, samples))
