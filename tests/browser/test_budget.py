"""The first page over a slow link: few bytes, and few journeys one after another."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response

from app.web.pages import MODULES

pytestmark = pytest.mark.browser

STATIC = Path(__file__).resolve().parents[2] / "static"
MOST_BYTES = 100_000
MOST_JOURNEYS = 3
LATENCY_MS = 150
BYTES_A_SECOND = 400_000
NOISE_MS = 20_000
"""How much a busy test machine may add to what the link takes; the bytes and the journeys are what is asserted."""


def imported(name: str) -> set[str]:
    """The modules that a module imports by itself, not when it is asked to."""
    text = (STATIC / name).read_text(encoding="utf-8")
    return set(re.findall(r"^(?:import|export) [^;]*?from \"\./([\w.]+)\"", text, re.MULTILINE | re.DOTALL))


def test_every_module_that_the_first_page_needs_is_named_in_it_and_no_other():
    needed, new = set(), {"main.js"}
    while new:
        needed |= new
        new = set().union(*map(imported, new)) - needed
    assert set(MODULES) == needed - {"main.js"}
    assert not {"look.js", "others.js", "curl.js", "strip.js", "live.js", "smoothing.js"} & needed


USABLE = """new MutationObserver((_, watching) => {
    if (!document.documentElement?.classList.contains("js")) return;
    window.usableMs = performance.now();
    watching.disconnect();
}).observe(document, { attributes: true, subtree: true, childList: true });"""
"""Notes when the script is ready for a photo."""


@dataclass
class Load:
    """What Chromium fetched for the first page: bytes, and how many journeys deep, by the last part of the address."""

    page: Page
    bytes: dict[str, int] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)

    def note(self, event: dict[str, Any]) -> None:
        """A request begins: one journey after whatever named it."""
        named_by = event["initiator"].get("url")
        depth = 1 + self.depths.get(last(named_by), 0) if named_by else 1
        self.depths.setdefault(last(event["request"]["url"]), depth)


def last(url: str) -> str:
    return url.rsplit("/", 1)[1] or "/"


@pytest.fixture
def load(open_page) -> Load:
    """The first page over a slow link, until nothing more comes."""
    page = open_page("/livez")
    load = Load(page)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    conditions = {"latency": LATENCY_MS, "downloadThroughput": BYTES_A_SECOND, "uploadThroughput": BYTES_A_SECOND}
    session.send("Network.emulateNetworkConditions", {"offline": False, **conditions})
    session.on("Network.requestWillBeSent", load.note)
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))  # noqa: PLW0108 - playwright marks what it calls
    page.add_init_script(USABLE)
    page.goto(page.url.replace("/livez", "/"))
    page.wait_for_load_state("networkidle")
    load.bytes = {last(response.url): len(response.body()) for response in responses}
    return load


def test_the_first_page_is_small(load):
    total = sum(load.bytes.values())
    print(total, load.bytes)
    assert {"/", "style.css", "recognise.css", "main.js", "icon.svg", *MODULES} <= set(load.bytes)
    assert total < MOST_BYTES


def test_the_first_page_takes_few_journeys_and_is_soon_usable(load):
    usable_ms = load.page.evaluate("window.usableMs")
    print(f"usable after {usable_ms:.0f} ms", load.depths)
    assert max(load.depths.values()) <= MOST_JOURNEYS
    assert {load.depths[name] for name in ("main.js", *MODULES)} == {2}, "the page itself names all of them"
    assert usable_ms < 1000 + NOISE_MS
