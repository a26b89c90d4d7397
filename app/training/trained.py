"""What every recipe hands to the run: a network that answers, and how it came about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from app.photos.dataset import Sample
from app.training.outcome import EpochRecord
from app.training.smaller import Smaller

Answers = Callable[[str, tuple[Sample, ...]], Tensor]
"""The name of a part and its photos to logits `[n, classes]`."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """`tensors` are what `write_version` takes; `validation` the logits `[n, classes]` of the validation part, given by
    the network as it was before it learned from that part, too; `logits` answers for any photos."""

    tensors: Mapping[str, Tensor]
    validation: Tensor
    logits: Answers
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
