"""Recipes and options side by side: trained on the same split, judged on the same photos, in one table."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from app.config import Settings
from app.errors import DataError
from app.photos.dataset import read_dataset, split
from app.registry.catalog import BASE_MODE
from app.serving.mode import Mode
from app.serving.served import served_mode
from app.training.evaluation import evaluate, wilson
from app.training.judging import answers, judged_part
from app.training.options import Options
from app.training.order import Order
from app.training.outcome import Predictions
from app.training.run import train
from app.vision.networks import LITE0

BASE = "base"
RECIPES = ("head", "staged", "full", "prototype", "knn", "svm")
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "no-stopping": {"early_stopping": False},
    "no-augmentation": {"augmentation": "none"},
    "no-balance": {"balance": "none"},
    "distilled": {"teacher": LITE0},
}
"""What a row may change about its recipe: `full/no-stopping`, `head/no-augmentation/no-balance`, …"""
DEFAULT_ROWS = (
    *(BASE, "head", "staged", "full"),
    *("head/no-stopping", "head/no-augmentation", "head/distilled"),
    *("full/no-stopping", "full/no-augmentation", "full/distilled"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One training, judged: `right` of `n` photos."""

    right: int
    n: int
    macro_recall: float
    epochs: int
    seconds: float
    size_mb: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: medians over the seeds. The interval is that of the median accuracy on `n` photos."""

    name: str
    runs: tuple[Run, ...]

    def cells(self) -> dict[str, Any]:
        """The figures by the column's name."""
        n = self.runs[0].n
        share = wilson(round(median(run.right for run in self.runs)), n)
        return {
            "row": self.name,
            "n": n,
            "accuracy": median(run.right / run.n for run in self.runs),
            "accuracy_low": share.low,
            "accuracy_high": share.high,
            "macro_recall": median(run.macro_recall for run in self.runs),
            "epochs": round(median(run.epochs for run in self.runs)),
            "seconds": median(run.seconds for run in self.runs),
            "size_mb": median(run.size_mb for run in self.runs),
        }


@dataclass(slots=True)
class Workbench:
    """Where the rows are trained: in `folder`, away from `models/`, so that nothing of them is ever served.

    `data` is what the rows learn from; `test_share` of it is held back first where it brings no test part of its own.
    """

    folder: Path
    settings: Settings
    data: Path
    test_share: float = 0.0
    say: Callable[[str], None] = print
    _count: int = 0

    def run(self, row: str, seed: int) -> Run:
        """One row with one seed; says so when it is done."""
        source = self.data
        if self.test_share:
            source = held_back(self.data, self.folder / f"data-{seed}", share=self.test_share, seed=seed)
        result = self._base(source, seed) if row == BASE else self._train(row, source, seed)
        self.say(told(row, seed, result))
        return result

    def _base(self, source: Path, seed: int) -> Run:
        return base_guess(served_mode(BASE_MODE, self.settings), source, seed, max_pixels=self.settings.max_pixels)

    def _train(self, row: str, source: Path, seed: int) -> Run:
        self._count += 1
        models = self.folder / f"models-{self._count}"
        models.mkdir()
        for path in self.settings.models_dir.glob("*.pth"):  # base weights may lie there
            (models / path.name).symlink_to(path.resolve())
        settings = self.settings.model_copy(update={"models_dir": models, "models_store": None})
        outcome = train(Order(source, "compared", Options(**options_of(row), seed=seed)), settings)
        judged = outcome.test or outcome.validation
        size = sum(path.stat().st_size for path in outcome.folder.glob("*.safetensors"))
        return _run(judged, outcome.dataset.classes, len(outcome.history), outcome.seconds, size / 1e6)


def told(row: str, seed: int, run: Run) -> str:
    """What is said of a run when it is done."""
    return f"{row}, seed {seed}: {run.right} of {run.n} right, {run.seconds:.1f} s"


def compare(names: Sequence[str], seeds: int, workbench: Workbench) -> list[Row]:
    """The rows `names`, each run with the seeds 0, 1, …: a seed gives every row the same split."""
    return [Row(name, tuple(workbench.run(name, seed) for seed in range(seeds))) for name in names]


def rows_named(text: str) -> tuple[str, ...]:
    """The rows of "base, head, full/no-stopping".

    Raises:
        DataError: there is no such row; better now than after the first hour.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name != BASE:
            options_of(name)
    return names


def options_of(row: str) -> dict[str, Any]:
    """The options that a row stands for: `recipe` or `recipe/change/…`.

    Raises:
        DataError: there is no such recipe or change.
    """
    recipe, *changes = row.split("/")
    unknown = [name for name in changes if name not in CHANGES]
    if recipe not in RECIPES or unknown:
        raise DataError(
            f"There is no row '{row}': it must be {BASE}, or one of {', '.join(RECIPES)}, "
            f"followed by any of /{', /'.join(CHANGES)}."
        )
    options: dict[str, Any] = {"recipe": recipe}
    for change in changes:
        options.update(CHANGES[change])
    return options


def base_guess(mode: Mode, source: Path, seed: int, *, max_pixels: int) -> Run:
    """The base model untouched: each of its own names stands for the class that it most often meant in training.

    A name that training never saw stands for the largest class. Nothing is learned but this dictionary.
    """
    dataset = read_dataset(source, seed=seed)
    known = answers(mode, dataset.train, max_pixels=max_pixels).predictions
    judged = answers(mode, dataset.parts()[judged_part(dataset)], max_pixels=max_pixels).predictions
    meant = dictionary(known, len(mode.labels), len(dataset.classes))
    guesses = meant[judged.probabilities.argmax(dim=1)]
    certain = torch.nn.functional.one_hot(guesses, len(dataset.classes)).float()
    return _run(Predictions(certain, judged.labels, judged.paths, judged.sureness), dataset.classes, 0, 0.0, 0.0)


def dictionary(known: Predictions, names: int, classes: int) -> Tensor:
    """int64 [names]: the class that each of the base model's names means, going by what it says of `known`."""
    counts = torch.zeros(names, classes)
    guesses = known.probabilities.argmax(dim=1)
    counts.index_put_((guesses, known.labels), torch.ones(len(guesses)), accumulate=True)
    largest = torch.bincount(known.labels, minlength=classes).argmax()
    meant = counts.argmax(dim=1)
    meant[counts.sum(dim=1) == 0] = largest
    return meant


def held_back(source: Path, folder: Path, *, share: float, seed: int) -> Path:
    """The same photos with a stratified `share` of each class as the test part, as list files in `folder`.

    Data that brings a test part of its own stays as it is.
    """
    dataset = read_dataset(source, validation_share=0)
    if dataset.test:
        return source
    kept, test = split(dataset.train, share=share, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in (("train", kept), ("val", dataset.validation), ("test", test)):
        lines = [f"{os.path.relpath(sample.path.resolve(), folder)} {sample.label}\n" for sample in samples]
        if lines:
            (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    names = zip(dataset.classes, dataset.classes_zh, strict=True)
    (folder / "classes.txt").write_text("".join(f"{en}\t{zh}\n" for en, zh in names), encoding="utf-8")
    return folder


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| | right | 95 % interval | mean recall | epochs | seconds | size |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cell = row.cells()
        lines.append(
            f"| {cell['row']} | {cell['accuracy']:.1%} | {cell['accuracy_low']:.1%} to {cell['accuracy_high']:.1%} "
            f"| {cell['macro_recall']:.1%} | {cell['epochs']} | {cell['seconds']:.1f} | {_size(cell['size_mb'])} |"
        )
    return "\n".join(lines)


def _size(megabytes: float) -> str:
    """ "4 kB", "45 MB": what a version adds to the disk."""
    return f"{megabytes * 1000:.0f} kB" if megabytes < 1 else f"{megabytes:.0f} MB"


def _run(judged: Predictions, classes: Sequence[str], epochs: int, seconds: float, size_mb: float) -> Run:
    result = evaluate(judged.probabilities, judged.labels, classes)
    return Run(round(result.accuracy * result.n), result.n, result.macro_recall, epochs, seconds, size_mb)
