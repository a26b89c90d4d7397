"""A mode with versions that can be judged, for the tests of the place Models: not trained, but judged on real files."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from app.feedback.database import Database
from app.feedback.tables import Correction
from app.photos.dataset import Dataset, Sample
from app.photos.snapshot import PHOTOS, snapshot_of
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.state import activate
from app.registry.versions import write_version
from app.serving.backbone import Backbone
from app.serving.manager import ModelManager
from app.training.evaluation import evaluate
from app.training.outcome import Predictions
from app.training.report import threshold_cost

COLOURS = {"red": (200, 30, 30), "green": (30, 170, 50), "blue": (30, 50, 200)}
CHINESE = ("红", "绿", "蓝")
OWN_THRESHOLD = 0.5
TEMPERATURE = 9.0
STEPS = 50


def write_colours(manager: ModelManager, models_dir: Path, photos: Path, each: int = 8) -> None:
    """The mode `colours`: v1 says "blue" whatever it sees, v2 knows the colours and is active, v3 knows all but red."""
    backbone = manager.mode("imagenet").backbone
    dataset = draw(photos, each)
    learned = draw(photos.with_name("learned"), 6).test
    targets = torch.nn.functional.one_hot(torch.tensor([sample.label for sample in learned])).double()
    known = 20 * torch.linalg.lstsq(features_of(backbone, learned).double(), targets, driver="gelsd").solution.T.float()
    features = features_of(backbone, dataset.test)
    nothing, blue = torch.zeros_like(known), torch.tensor([0.0, 0.0, 12.0])
    without_red = torch.tensor([-1000.0, 0.0, 0.0])
    heads = {"v1": (nothing, blue), "v2": (0.8 * known, torch.zeros(3)), "v3": (known, without_red)}
    for version, (weight, bias) in heads.items():
        write(backbone, models_dir, version, (weight, bias), dataset, features)
    why = "v2 is better than v1: 24 of 24 pictures right against 8 (p = 3.1e-05), and every limit holds."
    activate(models_dir / "colours", "v2", action="promote", by="the administrator, from 127.0.0.1", why=why)
    manager.refresh()


def draw(folder: Path, each: int) -> Dataset:
    """Pictures of one colour with a bar of another across, all of them the test part."""
    chance, samples = random.Random(each), []
    for place, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            picture = Image.new("RGB", (80, 70), tuple(max(0, part + chance.randint(-45, 45)) for part in colour))
            bar = tuple(chance.randint(0, 255) for _ in range(3))
            picture.paste(bar, (index % 60, 0, index % 60 + chance.randint(4, 30), 70))
            path = folder / name / f"{index}.png"
            picture.save(path)
            samples.append(Sample(path, place))
    return Dataset(tuple(COLOURS), (), (), tuple(samples), CHINESE)


def features_of(backbone: Backbone, samples: tuple[Sample, ...]) -> Tensor:
    pixels = [backbone.transform(Image.open(sample.path)) for sample in samples]
    return torch.cat([backbone.features(torch.stack(pixels[start : start + 8])) for start in range(0, len(pixels), 8)])


def write(
    backbone: Backbone,
    models_dir: Path,
    version: str,
    head: tuple[Tensor, Tensor],
    dataset: Dataset,
    features: Tensor,
) -> None:
    """One version, with the figures that it really has on the pictures, its report's facts and its list of photos."""
    weight, bias = head
    probabilities = torch.softmax((features @ weight.T + bias) / TEMPERATURE, dim=1)
    labels = torch.tensor([sample.label for sample in dataset.test])
    found = evaluate(probabilities, labels, dataset.classes)
    predictions = Predictions(
        probabilities, labels, tuple(sample.path for sample in dataset.test), probabilities.amax(1)
    )
    costs = [threshold_cost(predictions, step / STEPS) for step in range(STEPS + 1)]
    facts = {
        "judged_on": "test",
        "test": {
            "n": found.n,
            "classes": [
                {"label": one.label, "count": one.count, "recall": {"value": one.recall.value if one.recall else 0}}
                for one in found.classes
            ],
        },
        "threshold": {"curve": [(cost["value"], 1 - cost["called_unknown"], cost["right_of_named"]) for cost in costs]},
        "calibration": {"error_after": found.expected_calibration_error},
    }
    manifest = Manifest(
        mode="colours",
        version=version,
        created=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=int(version[1:])),
        title=Title(en="Colours", zh="颜色"),
        labels=[ManifestLabel(label=name, label_zh=zh) for name, zh in zip(COLOURS, CHINESE, strict=True)],
        backbone=BackboneReference(name=backbone.name, fingerprint=backbone.fingerprint),
        transform=backbone.transform,
        temperature=TEMPERATURE,
        threshold=OWN_THRESHOLD,
        parent="v2" if version == "v3" else None,
        metrics={
            "test": {
                "accuracy": found.accuracy,
                "accuracy_low": found.accuracy_low,
                "accuracy_high": found.accuracy_high,
                "macro_recall": found.macro_recall,
                "n": found.n,
            }
        },
    )
    files = {PHOTOS: snapshot_of(dataset, ()), "report.json": json.dumps(facts).encode()}
    write_version(models_dir, manifest, {"weight": weight, "bias": bias}, files)


def add_strangers(database: Database, scores: list[float], version: str = "v2") -> None:
    """Accepted corrections that say "none of these" of answers with these confidences."""
    with database.writing() as session:
        for place, score in enumerate(scores):
            session.add(
                Correction(
                    id=f"{version}-{place}",
                    request_id=f"{version}-{place}",
                    created=datetime.now(UTC),
                    mode="colours",
                    version=version,
                    answer="red",
                    confidence=score,
                    kind="none",
                    status="accepted",
                )
            )
