"""Versions for the tests of trials: ones that answer otherwise, err, or stand on a network of their own."""

from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving.mode import Mode
from app.vision.networks import fingerprint

HUGE = 3e38
"""A weight that is finite, and whose product with a feature above 1.2 is not."""


def write_linear(models: Path, base: Mode, version: str, weight: Tensor, labels: tuple[str, ...]) -> Path:
    """Write a version of the mode "birds" on `base`'s backbone: `weight` [classes, width], no bias."""
    backbone = BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint)
    tensors = {"weight": weight, "bias": torch.zeros(len(labels))}
    return write_version(models, _manifest(version, labels, backbone, base), tensors)


def write_sure(models: Path, base: Mode, version: str, labels: tuple[str, ...], answer: int, sure: float = 9.0) -> Path:
    """A version that always answers with the class `answer`."""
    backbone = BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint)
    bias = torch.zeros(len(labels))
    bias[answer] = sure
    tensors = {"weight": torch.zeros(len(labels), base.backbone.width), "bias": bias}
    return write_version(models, _manifest(version, labels, backbone, base), tensors)


def write_erring(models: Path, base: Mode, version: str, picture: Image.Image) -> Path:
    """A version that passes the last look before serving, and gives no finite numbers for `picture`."""
    crop = base.backbone.transform.crop
    blank = base.backbone.features(torch.zeros(1, 3, crop, crop))[0]
    seen = base.backbone.features(base.backbone.transform(picture).unsqueeze(0))[0]
    only_there = (blank == 0) & (seen > 0)
    assert float(seen[only_there].sum()) > 1.2, "features that a blank picture has not"
    weight = torch.zeros(2, base.backbone.width)
    weight[0, only_there] = HUGE
    return write_linear(models, base, version, weight, ("owl", "kite"))


def write_tuned(models: Path, base: Mode, version: str, labels: tuple[str, ...]) -> Path:
    """A version with a network of its own, a ResNet-18 of random weights."""
    import app.torchvision_cpu  # noqa: F401 - before torchvision

    # isort: split
    import torchvision

    torch.manual_seed(1)
    network: nn.Module = torchvision.models.resnet18(num_classes=len(labels))
    state = network.state_dict()
    own = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    backbone = BackboneReference(name="resnet18", fingerprint=fingerprint(own), tuned=True)
    return write_version(models, _manifest(version, labels, backbone, base), state)


def _manifest(version: str, labels: tuple[str, ...], backbone: BackboneReference, base: Mode) -> Manifest:
    return Manifest(
        mode="birds",
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en="Birds", zh="鸟"),
        labels=[ManifestLabel(label=label) for label in labels],
        backbone=backbone,
        transform=base.backbone.transform,
        threshold=0.5,
    )
