"""Folders, settings and a server for the tests of weights; none of them sees the machine's own."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from app.config import Settings
from app.vision import networks
from tests.weights.scripted_server import PREFIX, Server
from tests.weights.toy_weights import TOY_NAME


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's hub cache, empty; and no proxy between these tests and their own servers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(models: Path) -> Settings:
    return Settings(models_dir=models)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's metadata promise TOY, whose hash we can honour; nobody can make a file to fit f37072fd."""
    metadata = SimpleNamespace(name="IMAGENET1K_V1", url=f"https://weights.invalid/models/{TOY_NAME}")
    monkeypatch.setattr(networks, "published", lambda name: metadata)


@pytest.fixture(scope="session")
def random_state() -> dict[str, Tensor]:
    """A ResNet-18 in half precision: half the bytes to write and to hash."""
    torch.manual_seed(3)
    return networks.torchvision.models.resnet18().half().state_dict()


@pytest.fixture(scope="session")
def random_resnet18(random_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random") / "mine.pth"
    torch.save(random_state, path)
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / f"toy-{PREFIX}.pth"
