"""A real server with real weights on a free port, and a real headless Chromium that watches where requests go."""

import math
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from flask import Flask
from PIL import Image
from playwright.sync_api import Browser, Error, Page, sync_playwright
from werkzeug.serving import make_server

from app import create_app
from app.config import Settings
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving.manager import ModelManager

MAX_UPLOAD_MB = 1
BROWSER_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="package")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with the packaged network and a small custom mode, `fruit`."""
    models_dir = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(models_dir / "no-hub-cache"))
        patch.delenv("RESNET18_WEIGHTS", raising=False)
        app = create_app(Settings(models_dir=models_dir, max_upload_mb=MAX_UPLOAD_MB), wait=True)
    write_fruit(app.extensions["recogniser"].manager, models_dir)
    yield app
    app.extensions["recogniser"].close()
    app.extensions["database"].close()


@pytest.fixture(scope="package")
def server(application: Flask) -> Iterator[str]:
    """The address of a server of it."""
    web = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{web.port}"
    web.shutdown()
    thread.join()
    web.server_close()


def write_fruit(manager: ModelManager, models_dir: Path) -> None:
    """A mode whose answer does not depend on the picture: apple 55 %, banana 45 %, unknown below 60 %."""
    backbone = manager.mode("imagenet").backbone
    manifest = Manifest(
        mode="fruit",
        version="1",
        created=datetime.now(UTC),
        title=Title(en="Fruit stall", zh="水果摊"),
        labels=[ManifestLabel(label="apple", label_zh="苹果"), ManifestLabel(label="banana", label_zh="香蕉")],
        backbone=BackboneReference(name=backbone.name, fingerprint=backbone.fingerprint),
        transform=backbone.transform,
        threshold=0.6,
    )
    head = {"weight": torch.zeros(2, backbone.width), "bias": torch.tensor([math.log(0.55), math.log(0.45)])}
    write_version(models_dir, manifest, head)
    manager.refresh()


def chromium() -> str | None:
    """Where the system's Chromium is; None: the one that playwright installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or the one that playwright installed."""
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=chromium(), args=BROWSER_ARGUMENTS)
        except Error as error:
            pytest.fail(f"no browser to test with: run 'playwright install chromium' ({error})")
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[Callable[..., Page]]:
    """Open the page in a fresh context; afterwards no request has left the server's host, and no script has failed."""
    contexts = []
    strangers: list[str] = []
    failures: list[str] = []

    def watch(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and f"{parts.scheme}://{parts.netloc}" != server:
            strangers.append(url)

    def open_it(path: str = "/", **options: Any) -> Page:
        options.setdefault("locale", "en-GB")
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.on("request", lambda request: watch(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(server + path)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert strangers == []
    assert failures == []


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real photographs from scikit-image, and what is none."""
    from skimage import data

    folder = tmp_path_factory.mktemp("pictures")
    paths = {name: folder / f"{name}.jpg" for name in ("cat", "coffee", "rocket")}
    for name, array in {"cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket()}.items():
        Image.fromarray(array).save(paths[name], quality=90)
    paths["bad"] = folder / "bad.jpg"
    paths["bad"].write_bytes(paths["cat"].read_bytes()[:1000])
    paths["large"] = folder / "large.png"
    Image.fromarray(data.chelsea()).resize((2706, 1800)).save(paths["large"], compress_level=1)
    paths["large_unreadable"] = folder / "large.heic"
    paths["large_unreadable"].write_bytes(b"\0" * (MAX_UPLOAD_MB * 1024**2 + 1))
    return paths
