"""A finished run of training, drawn rather than trained, for what reads one."""

from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image

from app.photos.dataset import Dataset, Sample
from app.photos.findings import finding
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, ScoreReference, Title
from app.training.evaluation import CrossValidated
from app.training.outcome import EpochRecord, Outcome, Predictions
from app.training.separation import Choice, ScoreFigures

CLASSES = ("ant & bee", "<script>alert(1)</script>", "cup")
CHINESE = ("蚂蚁", "脚本", "杯子")


def drawn_outcome(folder: Path, *, with_test: bool = True, epochs: int = 6) -> Outcome:
    """A run over 24 drawn photos of three classes: validation with 3 mistakes, test (where asked for) with 2."""
    samples = []
    for index in range(24):
        path = folder / CLASSES[index % 3].replace("/", "_") / f"photo {index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 60), (10 * index, 120, 90)).save(path)
        samples.append(Sample(path, index % 3))
    train, validation, test = tuple(samples[:9]), tuple(samples[9:18]), tuple(samples[18:]) if with_test else ()
    return Outcome(
        mode="things",
        version="v1",
        folder=folder / "v1",
        dataset=Dataset(CLASSES, train, validation, test, CHINESE),
        findings=(finding("tiny", "{photos} tiny: {names}", "{n} 张太小：{names}", [train[0].path]),),
        history=tuple(_epoch(number) for number in range(1, epochs + 1)),
        stopped_because="No gain in validation loss for 2 epochs.",
        validation=predictions(validation, wrong={1: 0.9, 3: 0.95, 4: 0.5}),
        test=predictions(test, wrong={0: 0.6, 2: 0.8}) if with_test else None,
        seconds=12.34,
        peak_memory_mb=456.0,
        command="python -m app train photos --mode things",
        manifest=_manifest(),
        choice=Choice(
            ScoreReference(name="knn", centre=0.7, scale=0.1),
            tuple(
                ScoreFigures(name, 0.9 + place / 100, 0.3 - place / 100) for place, name in enumerate(("msp", "knn"))
            ),
            "given",
            known=24,
            unknown=30,
        ),
        cross_validated=CrossValidated(24, 0.081, 0.042),
        unknown=(ScoreFigures("knn", 0.95, 0.1), ScoreFigures("msp", 0.88, 0.4)),
    )


def predictions(samples: tuple[Sample, ...], wrong: dict[int, float]) -> Predictions:
    """Answers of confidence 0.9, right but for those in `wrong`: position to confidence, answered one class further."""
    labels = torch.tensor([sample.label for sample in samples])
    sure = torch.full((len(samples),), 0.9)
    answers = labels.clone()
    for place, confidence in wrong.items():
        sure[place], answers[place] = confidence, (labels[place] + 1) % 3
    probabilities = ((1 - sure) / 2).unsqueeze(1).repeat(1, 3)
    probabilities[torch.arange(len(samples)), answers] = sure
    return Predictions(probabilities, labels, tuple(sample.path for sample in samples), sure)


def _epoch(number: int) -> EpochRecord:
    validation_loss = abs(number - 4) * 0.1 + 0.3  # best at the fourth
    stage = "head" if number <= 3 else "layer4"
    return EpochRecord(stage, number, 1 / number, validation_loss, 0.5 + number / 20, 0.01 / number, 0.5)


def _manifest() -> Manifest:
    return Manifest(
        mode="things",
        version="v1",
        created=datetime(2026, 11, 22, tzinfo=UTC),
        title=Title(en="My things", zh="我的东西"),
        labels=[ManifestLabel(label=en, label_zh=zh) for en, zh in zip(CLASSES, CHINESE, strict=True)],
        backbone=BackboneReference(name="resnet18", fingerprint="ab" * 32),
        temperature=2.0,
        threshold=0.55,
        options={"recipe": "staged", "monitor": "val_loss", "teacher": None},
        data_fingerprint="cd" * 32,
    )
