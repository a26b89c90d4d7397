"""A served mode's answers on labelled photos."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.config import available_cores
from app.errors import DataError, RequestError
from app.photos.dataset import Dataset, Part, Sample, read_dataset
from app.serving.backbone import Backbone
from app.serving.batching import MAX_BATCH
from app.serving.mode import Mode
from app.training.evaluation import evaluate
from app.training.outcome import Predictions
from app.training.progress import SILENT, Progress
from app.training.report import Facts, common_confusions, short, threshold_cost
from app.training.separation import figures_of
from app.training.strangers import pictures_of
from app.vision.picture import decode

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Answers:
    """A mode's answers, and the photos that could not be read and are not among them."""

    predictions: Predictions
    unreadable: tuple[Path, ...]


def judge(mode: Mode, data: Path, *, max_pixels: int, part: str | None = None, unknown: Sequence[Path] = ()) -> Facts:
    """What `evaluate --json` prints: `mode` on the labelled photos of `data`.

    `part`: train, validation, test or all; None takes test where there is one, else validation, else all. `unknown`:
    folders of pictures that show none of its classes.

    Raises:
        DataError: there are no such photos, or the mode does not know their classes.
    """
    dataset = read_dataset(data, validation_share=0)
    chosen = part or judged_part(dataset)
    samples = [one for name, photos in dataset.parts().items() if chosen in (name, "all") for one in photos]
    if part is None and chosen == "train":
        chosen = "all"  # photos without parts
    given = answers(mode, translated(samples, dataset, mode), max_pixels=max_pixels)
    strangers = pictures_of(unknown, max_pixels, SILENT)
    facts = judgement(mode, given, chosen)
    if strangers:
        facts["unknown"] = _against(
            mode, given.predictions, answers(mode, strangers, max_pixels=max_pixels).predictions
        )
    return facts


def judgement(mode: Mode, given: Answers, part: str) -> Facts:
    """What `evaluate --json` prints. Classes without a photo and without an answer are left out."""
    names = [label.label for label in mode.labels]
    figures: dict[str, Any] = asdict(evaluate(given.predictions.probabilities, given.predictions.labels, names))
    del figures["confusion"]  # of a thousand classes it would be a million numbers
    figures["classes"] = [one for one in figures["classes"] if one["count"] or one["precision"]]
    return {
        "mode": mode.key,
        "version": mode.model.version,
        "part": part,
        **figures,
        "confusions": [
            {**pair, "truth": names[pair["truth"]], "answer": names[pair["answer"]]}
            for pair in common_confusions(given.predictions)
        ],
        "threshold": threshold_cost(given.predictions, mode.threshold),
        "unknown": None,
        "unreadable": [short(path) for path in given.unreadable],
    }


def _against(mode: Mode, known: Predictions, strangers: Predictions) -> Facts:
    """How well the mode's score, and the plain softmax, tell known photos from strangers; how many get a name."""
    plain = (
        softmax.double().clamp_min(1e-30).log() * mode.temperature
        for softmax in (known.probabilities, strangers.probabilities)
    )
    return {
        "n": len(strangers.sureness),
        "named": float((strangers.sureness >= mode.threshold).double().mean()),
        "score": asdict(figures_of(mode.score.reference.name, known.sureness, strangers.sureness)),
        "softmax": asdict(figures_of("msp", *(one.softmax(dim=1).amax(dim=1) for one in plain))),
    }


def judged_part(dataset: Dataset) -> Part:
    """The part to judge by: test where there is one, else validation, else all there is.

    For data read with `validation_share=0`, so that photos without parts stay together.
    """
    return next((part for part in ("test", "validation") if dataset.parts()[part]), "train")


def translated(samples: Sequence[Sample], dataset: Dataset, mode: Mode) -> list[Sample]:
    """The same photos with the mode's own class numbers; classes are known by any of their names.

    Raises:
        DataError: the mode does not know some class of these photos.
    """
    places = class_indices(mode)
    used = sorted({sample.label for sample in samples})
    unknown = [dataset.classes[label] for label in used if dataset.classes[label].casefold() not in places]
    if unknown:
        shown = ", ".join(unknown[:_NAMES_SHOWN]) + (", …" if len(unknown) > _NAMES_SHOWN else "")
        raise DataError(f"The mode {mode.key} does not know these classes: {shown}.")
    return [Sample(sample.path, places[dataset.classes[sample.label].casefold()]) for sample in samples]


def class_indices(mode: Mode) -> dict[str, int]:
    """The index of each class of `mode`, by any of its names, casefolded."""
    places: dict[str, int] = {}
    for index, label in enumerate(mode.labels):
        for name in (label.label, label.label_short, label.label_zh):
            places.setdefault(name.casefold(), index)
    return places


def answers(mode: Mode, samples: Sequence[Sample], *, max_pixels: int, progress: Progress = SILENT) -> Answers:
    """What `mode` says of `samples`. Photos that cannot be read, or have more than `max_pixels`, are left out."""
    features, read, unreadable = features_of(mode.backbone, samples, max_pixels=max_pixels, progress=progress)
    labels = torch.tensor([sample.label for sample in read])
    judged = [mode.judged(part) for part in features.split(MAX_BATCH)]
    probabilities, sureness = (torch.cat([part[which] for part in judged]) for which in (0, 1))
    paths = tuple(sample.path for sample in read)
    return Answers(Predictions(probabilities, labels, paths, sureness), tuple(unreadable))


def features_of(
    backbone: Backbone, samples: Sequence[Sample], *, max_pixels: int, progress: Progress = SILENT
) -> tuple[Tensor, list[Sample], list[Path]]:
    """The features `[n, width]` of those of `samples` that can be read, these, and the paths of the others.

    Raises:
        DataError: none of them can be read.
    """
    transform = backbone.transform

    def tensor(sample: Sample) -> Tensor | None:
        try:
            data = sample.path.read_bytes()
            return transform(decode(data, max_pixels=max_pixels, shortest_side=transform.resize).image)
        except (OSError, RequestError):
            return None

    rows: list[Tensor] = []
    read: list[Sample] = []
    unreadable: list[Path] = []
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder") as pool:
        for start in range(0, len(samples), MAX_BATCH):
            batch = samples[start : start + MAX_BATCH]
            pairs = list(zip(batch, pool.map(tensor, batch), strict=True))
            unreadable += [sample.path for sample, picture in pairs if picture is None]
            read += [sample for sample, picture in pairs if picture is not None]
            pictures = [picture for _, picture in pairs if picture is not None]
            if pictures:
                rows.append(backbone.features(torch.stack(pictures)))
            progress.advance(len(batch))
    if not rows:
        raise DataError("None of these photos can be read.")
    return torch.cat(rows), read, unreadable
