"""What every test may ask for: pictures without a network, and the real weights and photographs where they lie."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app import create_app
from app.config import Settings
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving.mode import Mode
from tests.databases import database, database_url, postgresql  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights beside the checkout; CI must have it, a fresh clone need not."""
    if not SHARED.is_dir():
        if os.environ.get("WANWU_REQUIRE_SHARED"):
            pytest.fail("../shared is missing, and this run must not skip what needs it")
        pytest.skip("../shared is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def resnet18_weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genuine ImageNet ResNet-18 state_dict, written once a session."""
    path = tmp_path_factory.mktemp("weights") / "resnet18-genuine.pth"
    subprocess.run([sys.executable, str(shared / "weights" / "make_resnet18.py"), str(path)], check=True)
    return path


@pytest.fixture(autouse=True)
def _restore_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's settings."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """A real photograph (512 x 512, RGB) that comes with scikit-image."""
    from skimage import data

    return Image.fromarray(data.astronaut())


@pytest.fixture(scope="session")
def cat() -> Image.Image:
    """A real photograph of a cat (451 x 300, RGB) that comes with scikit-image."""
    from skimage import data

    return Image.fromarray(data.chelsea())


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode a picture: `encode(image, "PNG", **options)`."""

    def encode_picture(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    return encode_picture


@pytest.fixture(scope="session")
def toy_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 with seeded random weights and 1000 classes: the right shape at no download."""
    import app.torchvision_cpu  # noqa: F401 - before torchvision

    # isort: split
    import torch
    import torchvision

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "toy.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


@pytest.fixture
def settings(toy_weights: Path, tmp_path: Path) -> Settings:
    """Settings on the toy weights and an empty models folder."""
    models = tmp_path / "models"
    models.mkdir()
    return Settings(resnet18_weights=toy_weights, models_dir=models)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The whole application on the packaged EfficientNet-Lite0, with one custom mode of three colours."""
    models = tmp_path_factory.mktemp("models")
    flask_app = create_app(Settings(models_dir=models), wait=True)
    flask_app.testing = False  # errors become answers, as in production
    recogniser = flask_app.extensions["recogniser"]
    write_head(models, "colours", recogniser.mode("imagenet"), ["red", "green", "blue"], ["红", "绿", "蓝"])
    recogniser.manager.refresh()
    yield flask_app
    recogniser.close()
    flask_app.extensions["database"].close()


@pytest.fixture(scope="module")
def app_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Those of an application of a module's own, which lets this machine administer it."""
    return Settings(models_dir=tmp_path_factory.mktemp("models"), admin_loopback=True)


@pytest.fixture
def client(service: Flask) -> FlaskClient:
    """A client of the whole application."""
    return service.test_client()


def write_head(
    models: Path, key: str, base: Mode, labels: list[str], labels_zh: list[str] | None = None, version: str = "v1"
) -> Path:
    """Write a version of the mode `key`: a seeded random head on `base`'s backbone."""
    import torch

    generator = torch.Generator().manual_seed(len(labels))
    names = zip(labels, labels_zh or labels, strict=True)
    manifest = Manifest(
        mode=key,
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en=f"The {key}", zh=f"{key} 模式"),
        labels=[ManifestLabel(label=label, label_zh=label_zh) for label, label_zh in names],
        backbone=BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint),
        transform=base.backbone.transform,
        threshold=0.5,
    )
    weight = torch.randn(len(labels), base.backbone.width, generator=generator)
    return write_version(models, manifest, {"weight": weight, "bias": torch.zeros(len(labels))})


@pytest.fixture(scope="session")
def cat_jpeg(cat: Image.Image, encode: Callable[..., bytes]) -> bytes:
    return encode(cat)
