"""Every place, photographed: `python -m tools.screenshots` writes `docs/screenshots/PLACE-DEVICE-THEME-LANGUAGE.webp`.

A server of its own is started in a temporary folder, and what a person would do is done to it: a mode is taught from
photographs, corrections are sent and wait for review, a second version is trained. The photographs are scikit-image's
samples, which are free to use; the base network is the packaged EfficientNet-Lite0.
"""

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from skimage import data

from app.config import ROOT
from tools import ground

TARGET = ROOT / "docs" / "screenshots"
TOKEN = "for the screenshots"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 860}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}
THEMES = ("light", "dark")
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
_QUALITY = 80
_START_S = 600


def recognise(page: Page) -> None:
    """Two photos answered, and where the network looked in one of them."""
    page.goto("/")
    page.set_input_files("#choose", [_sample("coffee"), _sample("chelsea")])
    page.locator(".card:is([data-state=known], [data-state=group])").nth(1).wait_for()
    page.locator(".card").first.locator(".where").click()
    page.locator(".card").first.locator("canvas.heat").wait_for()
    _show(page, "#results" if _is_phone(page) else "body")


def teach(page: Page) -> None:
    """The photos of a mode."""
    page.goto(f"/teach/{ground.MODE}")
    page.locator(".thing").first.wait_for()
    _show(page, "#classes" if _is_phone(page) else "body")


def training(page: Page) -> None:
    """It learns, and one can watch; stopped afterwards."""
    page.goto(f"/teach/{ground.MODE}")
    page.locator("#train").click()
    page.locator("#train-job svg").nth(1).wait_for(timeout=_START_S * 1000)
    page.wait_for_timeout(2500)
    _show(page, "#training")


def result(page: Page) -> None:
    """What came of teaching it."""
    page.goto(f"/teach/{ground.MODE}")
    page.locator("#try:not([hidden])").wait_for()
    page.set_input_files("#try-choose", {**_sample("gravel"), "buffer": ground.photo("gravel", 99)})
    page.locator("#try-answer .guesses").wait_for()
    _show(page, "#result")


def review(page: Page) -> None:
    """Corrections that wait."""
    page.goto("/review")
    page.locator(".entry img").first.wait_for()
    _show(page, "body")


def models(page: Page) -> None:
    """Every mode."""
    page.goto("/models")
    page.locator("#modes a").first.wait_for()


def model(page: Page) -> None:
    """One mode."""
    page.goto(f"/models/{ground.MODE}")
    page.locator("#history li").first.wait_for()


def threshold(page: Page) -> None:
    """Its threshold, on the plot, and a trial under way."""
    model(page)
    _show(page, "#threshold-part")


PLACES: dict[str, Callable[[Page], None]] = {
    shot.__name__: shot for shot in (recognise, teach, result, review, models, model, threshold, training)
}


def _show(page: Page, selector: str) -> None:
    page.wait_for_timeout(300)
    page.locator(selector).first.evaluate("element => element.scrollIntoView()")


def _is_phone(page: Page) -> bool:
    return bool(page.viewport_size and page.viewport_size["width"] < 600)  # noqa: PLR2004


def main() -> None:
    """Photograph everything anew."""
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, _serving(Path(folder)) as address:
        as_admin = {"Authorization": f"Bearer {TOKEN}"}
        ask = playwright.request.new_context(base_url=address, extra_http_headers=as_admin, timeout=_START_S * 1000)
        ground.teach(ask)
        browser = playwright.chromium.launch(executable_path=system, args=ARGUMENTS)
        for device in DEVICES:
            for theme in THEMES:
                for language in LANGUAGES:
                    photograph(browser, address, device, theme, language)
                    for job in ground.said(ask.get("/api/jobs"))["jobs"]:
                        ask.delete(f"/api/jobs/{job['id']}")  # the training that was photographed
        browser.close()


def photograph(browser: Browser, address: str, device: str, theme: str, language: str) -> None:
    """Every place, as one visitor sees it."""
    context = browser.new_context(
        **DEVICES[device], base_url=address, color_scheme=theme, locale=LANGUAGES[language], reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto("/login")
    _keep(page, f"login-{device}-{theme}-{language}")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/teach")
    for name, go in PLACES.items():
        go(page)
        _keep(page, f"{name}-{device}-{theme}-{language}")
    context.close()


def _keep(page: Page, name: str) -> None:
    page.wait_for_timeout(400)
    image = Image.open(io.BytesIO(page.screenshot()))
    image.convert("RGB").save(TARGET / f"{name}.webp", quality=_QUALITY, method=6)


def _sample(name: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(getattr(data, name)()).save(buffer, "JPEG", quality=90)
    return {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """A real server on an empty models folder."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings = {"PORT": str(port), "MODELS_DIR": str(folder), "ADMIN_TOKEN": TOKEN, "KEEP_IMAGES": "1"}
    settings["TORCH_HOME"] = str(folder / "no-hub-cache")
    process = subprocess.Popen([sys.executable, "-m", "app", "serve"], cwd=ROOT, env={**os.environ, **settings})
    try:
        _wait(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=40)


def _wait(address: str) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(address).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("the server did not start")


if __name__ == "__main__":
    main()
