"""The whole of it, as one person lives it in a browser: taught, watched, served, corrected, retrained, taken back.

Against the real server with its login, which is killed and started again while it trains. On a desktop with ants and
bees, on a phone with pieces of ground.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.steps import card, choose
from tests.running import ROOT, clean_environment, free_port
from tools import ground

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOKEN = "for the whole story"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
JOB_MS = 600_000
"""Jobs run on what others leave over; on a busy machine that is little."""
START_S = 120


@dataclass(slots=True)
class Server:
    """A server that can be killed, and started again at the same address."""

    models_dir: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        settings = {
            "PORT": str(self.port),
            "MODELS_DIR": str(self.models_dir),
            "ADMIN_TOKEN": TOKEN,
            "KEEP_IMAGES": "1",
        }
        settings["TORCH_HOME"] = str(self.models_dir / "no-hub-cache")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=clean_environment() | settings, start_new_session=True
        )
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/readyz").close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        self.kill()
        pytest.fail("the server did not start")

    def kill(self) -> None:
        """End it with all its workers, at once."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on an empty folder."""
    started = Server(tmp_path / "models")
    started.models_dir.mkdir()
    started.start()
    yield started
    started.kill()


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """A new browser before it; afterwards no script has failed."""
    contexts, failures = [], []

    def visited(path: str, **options: Any) -> Page:
        context = browser.new_context(base_url=server.address, locale="en-GB", **options)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(path)
        return page

    yield visited
    for context in contexts:
        context.close()
    assert failures == []


@dataclass(frozen=True, slots=True)
class Subject:
    """What is taught: the photos of each class to learn from, and others that it has not seen."""

    title: str
    taught: dict[str, list[Path]]
    unseen: dict[str, list[Path]]


def insects(shared: Path) -> Subject:
    """Ants and bees, 40 of each."""

    def some(part: str, name: str, count: int) -> list[Path]:
        return sorted((shared / "datasets" / "hymenoptera" / part / f"{name}s").iterdir())[:count]

    names = ("ant", "bee")
    return Subject("Insects", {n: some("train", n, 40) for n in names}, {n: some("val", n, 12) for n in names})


def grounds(folder: Path) -> Subject:
    """Pieces of brick, grass and gravel, 12 of each."""

    def some(label: str, numbers: range) -> list[Path]:
        paths = [folder / f"{label}{number}.jpg" for number in numbers]
        for path, number in zip(paths, numbers, strict=True):
            path.write_bytes(ground.photo(label, number))
        return paths

    return Subject(
        "Ground",
        {label: some(label, range(12)) for label in ground.CLASSES},
        {label: some(label, range(12, 18)) for label in ground.CLASSES},
    )


def log_in(page: Page) -> None:
    """Past the login, to where one wanted to go."""
    page.get_by_label("Administrator’s token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()


def teach(page: Page, subject: Subject) -> None:
    """Name the mode and its classes, add the photos, and press the button."""
    page.get_by_label("Name in English").fill(subject.title)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(subject.title)
    for name in subject.taught:
        page.locator("#add").get_by_label("Name", exact=True).fill(name)
        page.keyboard.press("Enter")
        expect(page.get_by_role("article", name=name)).to_be_visible()
    for name, paths in subject.taught.items():
        page.get_by_label(f"Choose photos of {name}").set_input_files([str(path) for path in paths])
    for name, paths in subject.taught.items():
        counted = page.get_by_role("article", name=name).locator(".thing-count")
        expect(counted).to_contain_text(str(len(paths)), timeout=JOB_MS)
    expect(page.locator("#train")).to_be_enabled()
    page.locator("#train").click()
    expect(page.locator("#train-job progress").first).to_be_visible()


def correct(page: Page, path: Path, name: str) -> None:
    """Say that an answer is not right, and let the photo be kept."""
    choose(page, path)
    page.get_by_text("Not right?").first.click()
    page.get_by_label("What is it?").or_(card(page).locator("input[name=label]")).first.fill(name)
    card(page).locator("input[name=keep]").check()
    card(page).get_by_role("button", name="Send").click()
    expect(card(page).locator(".said")).to_contain_text("kept")


def test_ants_and_bees_from_the_first_photo_to_the_way_back(
    visit: Callable[..., Page], server: Server, shared: Path
) -> None:
    subject = insects(shared)
    page = visit("/teach")
    log_in(page)
    teach(page, subject)

    server.kill()
    expect(page.get_by_text("The connection is lost.")).to_be_visible(timeout=JOB_MS)
    server.start()
    expect(page.get_by_text("The connection is lost.")).to_be_hidden(timeout=JOB_MS)
    expect(page.get_by_text("photos it had never seen")).to_be_visible(timeout=JOB_MS)

    page.get_by_role("link", name="Recognise with it").click()
    expect(page.get_by_label("Mode", exact=True)).to_have_value("insects")
    choose(page, *(path for paths in subject.unseen.values() for path in paths[:2]))  # some are called unknown
    expect(page.locator(".card[data-state=known]")).not_to_have_count(0)
    for name, paths in subject.unseen.items():
        for path in paths[1:]:
            correct(page, path, name)
    retrain_and_go_back(page, sum(len(paths) - 1 for paths in subject.unseen.values()), "insects")


def retrain_and_go_back(page: Page, corrections: int, mode: str) -> None:
    """Accept what was said, learn from it, put that into service whatever the comparison says, and roll back."""
    page.goto("/review")
    expect(page.locator(".entry")).to_have_count(corrections)
    page.locator(".entry [role=gridcell]").first.focus()
    page.keyboard.press("a")
    expect(page.locator("#did")).to_contain_text("Accepted")
    page.keyboard.press("u")
    expect(page.locator("#did")).to_contain_text("Back in the queue")
    for left in range(corrections - 1, -1, -1):
        page.locator(".entry [role=gridcell]").first.focus()
        page.keyboard.press("a")
        expect(page.locator(".entry")).to_have_count(left)
    page.get_by_role("button", name=re.compile("Train")).click()
    outcome = page.locator(".training-outcome")
    expect(outcome).to_contain_text(re.compile("in service"), timeout=JOB_MS)
    promoted = "v2 is better" in outcome.inner_text()

    page.goto(f"/models/{mode}")
    if not promoted:
        versions = page.locator("#versions")
        versions.get_by_role("button", name="Promote v2").click()
        page.get_by_role("button", name="Promote anyway").click(timeout=JOB_MS)
        page.get_by_role("dialog").get_by_role("button", name="Promote anyway").click()
    expect(
        page.get_by_text("v2 is in service").or_(page.get_by_role("button", name="Roll back to v1")).first
    ).to_be_visible(timeout=JOB_MS)
    page.get_by_role("button", name="Roll back to v1").click(timeout=JOB_MS)
    expect(page.locator("#notice")).to_contain_text("v1 is in service again, instead of v2.")


def test_on_a_phone_pieces_of_ground_are_taught_and_recognised(
    visit: Callable[..., Page], server: Server, tmp_path: Path
) -> None:
    subject = grounds(tmp_path)
    page = visit("/teach", **PHONE)
    log_in(page)
    teach(page, subject)
    expect(page.get_by_text("photos it had never seen")).to_be_visible(timeout=JOB_MS)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.get_by_role("link", name="Recognise with it").click()
    for name, paths in subject.unseen.items():
        choose(page, paths[0])
        expect(card(page).locator(".guess-name").first).to_have_text(name)
    correct(page, subject.unseen["grass"][1], "gravel")
    page.goto("/review")
    expect(page.locator(".entry")).to_have_count(1)
    page.locator(".entry-reject").click()
    expect(page.locator(".entry")).to_have_count(0)
