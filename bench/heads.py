"""Drawn modes: heads of random weights on the base model's backbone, as many as are asked for."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import torch

from app.config import Settings
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.vision.networks import build, fingerprint, transform_of
from app.vision.weights import find_weights

CLASSES = 10


def mode_key(number: int) -> str:
    """What the mode of that number, from 0, is called."""
    return f"drawn{number:03d}"


def write_heads(models_dir: Path, numbers: Iterable[int], weights: Path) -> None:
    """Write modes of these numbers, `CLASSES` classes each, into `models_dir`, on the network that `weights` hold."""
    base = find_weights(Settings(resnet18_weights=weights, models_dir=models_dir))
    network = build(base.name, base.state_dict())
    backbone = BackboneReference(name=base.name, fingerprint=fingerprint(network.backbone.state_dict()))
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        manifest = Manifest(
            mode=mode_key(number),
            version="v1",
            created=datetime(2026, 1, 1, tzinfo=UTC),
            title=Title(en=f"Drawn {number}", zh=f"模式 {number}"),
            labels=[ManifestLabel(label=f"class {place}", label_zh=f"类别 {place}") for place in range(CLASSES)],
            backbone=backbone,
            transform=transform_of(base.name),
            threshold=0.5,
        )
        weight = torch.randn(CLASSES, network.weight.shape[1], generator=generator)
        write_version(models_dir, manifest, {"weight": weight, "bias": torch.zeros(CLASSES)})
