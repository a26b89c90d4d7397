"""What every test may ask for: pictures without a network, and the real weights and photographs where they lie."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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
    for name in ("RESNET18_WEIGHTS", "MODELS_DIR", "PRECISION", "THRESHOLD", "ADMIN_TOKEN", "RATE_LIMIT", "PORT"):
        monkeypatch.delenv(name, raising=False)


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
