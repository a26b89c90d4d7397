"""What a run of training leaves behind: the report is written from this, and from nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from app.photos.dataset import Dataset
from app.photos.findings import Finding
from app.registry.manifest import Manifest
from app.training.evaluation import CrossValidated, evaluate
from app.training.options import Options
from app.training.separation import Choice, ScoreFigures


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One pass over the training part. `stage` names what was trained ("head", "layer4", …)."""

    stage: str
    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Predictions:
    """A mode's calibrated answers: `probabilities` [n, C], `sureness` [n] that it is any of the classes, the true
    `labels` [n], and which pictures these were."""

    probabilities: Tensor
    labels: Tensor
    paths: tuple[Path, ...]
    sureness: Tensor


@dataclass(frozen=True, slots=True)
class Found:
    """The options to train with, and what the report says of the search for them; nothing where there was none."""

    options: Options
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run. `test` is None where the data had no test part; `history` is empty where nothing was iterated."""

    mode: str
    version: str
    folder: Path
    dataset: Dataset
    findings: tuple[Finding, ...]
    history: tuple[EpochRecord, ...]
    stopped_because: str
    validation: Predictions
    test: Predictions | None
    seconds: float
    peak_memory_mb: float
    command: str
    manifest: Manifest
    choice: Choice | None = None
    cross_validated: CrossValidated | None = None
    unknown: tuple[ScoreFigures, ScoreFigures] | None = None
    """The score kept, and the plain softmax, on photos judged and on strangers given that chose nothing."""
    ensemble: dict[str, Any] | None = None
    """What each member of an ensemble adds and costs, as the report has it."""
    search: Mapping[str, Any] | None = None
    """What was tried before, where better options were looked for: facts of the report."""
    smaller: Mapping[str, Any] | None = None
    """What pruning, or fine-tuning for int8, saved and cost: facts of the report."""


def metrics_of(validation: Predictions, test: Predictions | None, classes: tuple[str, ...]) -> dict[str, Any]:
    """The figures that a manifest keeps of the parts."""
    metrics = {}
    for name, part in (("validation", validation), ("test", test)):
        if part is not None:
            found = evaluate(part.probabilities, part.labels, classes)
            metrics[name] = {
                "accuracy": found.accuracy,
                "accuracy_low": found.accuracy_low,
                "accuracy_high": found.accuracy_high,
                "macro_recall": found.macro_recall,
                "n": found.n,
            }
    return metrics
