"""A mode in memory: a head on a backbone, its labels, and where it decides to say "unknown"."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from app.errors import ModelError
from app.serving.backbone import Backbone
from app.serving.decision import Opinion
from app.serving.head import Head
from app.serving.score import PROBABILITY, Score
from app.vision.labels import Label


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model answers: `sha256` is of its file, `origin` where it was found."""

    name: str
    version: str
    sha256: str
    precision: str
    origin: str

    def as_dict(self) -> dict[str, str]:
        """The identity as every answer carries it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """Immutable: a request takes the mode once, so its labels, version and numbers always belong together."""

    key: str
    title_en: str
    title_zh: str
    labels: tuple[Label, ...]
    backbone: Backbone
    head: Head
    temperature: float
    threshold: float
    model: ModelIdentity
    score: Score = PROBABILITY
    accepted: tuple[float, ...] | None = None
    """The share of known photos whose sureness reaches 0, 0.01, … 1, where that was measured."""
    probability_threshold: float | None = None
    """What `threshold` would be on the largest probability, where the score is another."""

    def logits(self, features: Tensor) -> Tensor:
        """Float32 features `[n, D]` to logits `[n, classes]`."""
        return self.head.logits(features)

    def probabilities(self, features: Tensor) -> Tensor:
        """Float32 features `[n, D]` to probabilities `[n, classes]`, softened by the mode's temperature."""
        return torch.softmax(self.logits(features) / self.temperature, dim=1)

    def judged(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 features `[n, D]` to probabilities `[n, classes]` and sureness `[n]`."""
        logits = self.logits(features)
        probabilities = torch.softmax(logits / self.temperature, dim=1)
        return probabilities, self.score.sureness(features, logits, probabilities)

    def opinion(self, features: Tensor) -> Opinion:
        """What the mode thinks of one picture's features `[D]`."""
        probabilities, sureness = self.judged(features.unsqueeze(0))
        return Opinion(probabilities[0], float(sureness[0]))


def sound(probabilities: Tensor) -> Tensor:
    """The same probabilities.

    Raises:
        ModelError: they are not finite numbers.
    """
    if not probabilities.isfinite().all():
        raise ModelError("its answers are not finite numbers")
    return probabilities
