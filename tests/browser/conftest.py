"""A real server with real weights on a free port, and a real headless Chromium that watches where requests go."""

import math
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from flask import Flask
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, expect, sync_playwright
from pydantic import SecretStr
from werkzeug.serving import make_server

from app import create_app
from app.config import Settings
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving.manager import ModelManager
from tests.browser.teaching import album, things  # noqa: F401 - fixtures

Open = Callable[..., Page]
MAX_UPLOAD_MB = 1
TOKEN = "open sesame"
BROWSER_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

expect.set_options(timeout=20_000)  # on a busy machine an upload takes its time


@pytest.fixture(scope="package")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with the packaged network and a small custom mode, `fruit`."""
    with running(Settings(models_dir=tmp_path_factory.mktemp("models"), max_upload_mb=MAX_UPLOAD_MB)) as app:
        yield app


@pytest.fixture(scope="package")
def server(application: Flask) -> Iterator[str]:
    """The address of a server of it."""
    with served(application) as address:
        yield address


@pytest.fixture(scope="package")
def admin_application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The same for whoever works on this machine: no login is asked for, and pictures are kept."""
    settings = Settings(models_dir=tmp_path_factory.mktemp("admin"), admin_loopback=True, keep_images=True)
    with running(settings) as app:
        yield app


@pytest.fixture(scope="package")
def admin_server(admin_application: Flask) -> Iterator[str]:
    """The address of a server of it."""
    with served(admin_application) as address:
        yield address


@pytest.fixture(scope="package")
def locked_application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The same behind a login with `TOKEN`."""
    with running(Settings(models_dir=tmp_path_factory.mktemp("locked"), admin_token=SecretStr(TOKEN))) as app:
        yield app


@pytest.fixture(scope="package")
def locked_server(locked_application: Flask) -> Iterator[str]:
    """The address of a server of it."""
    with served(locked_application) as address:
        yield address


@contextmanager
def running(settings: Settings) -> Iterator[Flask]:
    """An application with the packaged network, which is let name the cat at first sight, and the mode `fruit`."""
    settings = settings.model_copy(update={"threshold": 0.2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(settings.models_dir / "no-hub-cache"))
        patch.delenv("RESNET18_WEIGHTS", raising=False)
        app = create_app(settings, wait=True)
    write_fruit(app.extensions["recogniser"].manager, settings.models_dir)
    yield app
    app.extensions["recogniser"].close()
    app.extensions["database"].close()


@contextmanager
def served(application: Flask) -> Iterator[str]:
    """The address of a server of it, on a free port."""
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
def open_page(browser: Browser, server: str) -> Iterator[Open]:
    """Open the page as any visitor."""
    with opening(browser, server) as open_it:
        yield open_it


@pytest.fixture
def open_admin(browser: Browser, admin_application: Flask, admin_server: str, monkeypatch: Any) -> Iterator[Open]:
    """Open a place as whoever works on this machine; jobs that it starts see the server's settings."""
    models_dir = admin_application.extensions["settings"].models_dir
    for name, value in {"MODELS_DIR": models_dir, "TORCH_HOME": models_dir / "no-hub-cache", "KEEP_IMAGES": 1}.items():
        monkeypatch.setenv(name, str(value))
    with opening(browser, admin_server) as open_it:
        yield lambda path="/review", **options: open_it(path, **options)


@pytest.fixture
def open_locked(browser: Browser, locked_server: str) -> Iterator[Open]:
    """Open a page of a server where one logs in with `TOKEN`."""
    with opening(browser, locked_server) as open_it:
        yield open_it


@contextmanager
def opening(browser: Browser, server: str) -> Iterator[Open]:
    """Open pages in fresh contexts; afterwards no request has left the server's host, and nothing has failed.

    `failing`: a pattern of the addresses whose requests a test lets fail; Chromium writes an error for each.
    """
    contexts: list[BrowserContext] = []
    strangers: list[str] = []
    failures: list[str] = []

    def watch(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and f"{parts.scheme}://{parts.netloc}" != server:
            strangers.append(url)

    def read(message: ConsoleMessage, failing: str) -> None:
        url = message.location["url"]
        is_expected = failing and message.text.startswith("Failed to load resource") and re.search(failing, url)
        if message.type == "error" and not is_expected:
            failures.append(f"{message.text} ({url})")

    def open_it(path: str = "/", *, failing: str = "", **options: Any) -> Page:
        options.setdefault("locale", "en-GB")
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.on("request", lambda request: watch(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: read(message, failing))
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
