"""What a visitor does, in words."""

import base64
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, Route, expect


def choose(page: Page, *paths: Path) -> None:
    """Choose pictures with the button and wait until every picture on the page has its answer."""
    page.set_input_files("#choose", [str(path) for path in paths])
    settle(page)


def settle(page: Page) -> None:
    """Wait until nothing is under way."""
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator(".card[data-busy]")).to_have_count(0)


def card(page: Page, place: int = 0) -> Locator:
    """The results' entry at `place`, from the top."""
    return page.locator(".card").nth(place)


def guesses(page: Page, place: int = 0) -> list[str]:
    """The names a picture was given, most likely first."""
    return card(page, place).locator(".guess-name").all_inner_texts()


def set_threshold(page: Page, value: float) -> None:
    """Move the slider, as a finger would."""
    page.locator("#threshold").fill(str(value))


def bring(page: Page, event: str, path: Path) -> None:
    """Drop or paste a picture anywhere: `event` is "drop" or "paste"."""
    page.evaluate(
        """([event, name, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: "image/jpeg" }));
            const options = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(event === "drop"
                ? new DragEvent("drop", { ...options, dataTransfer: data })
                : new ClipboardEvent("paste", { ...options, clipboardData: data }));
        }""",
        [event, path.name, base64.b64encode(path.read_bytes()).decode()],
    )
    settle(page)


def hold_requests(page: Page) -> list[Route]:
    """Let no request reach the server until `release_requests`; the list fills with those that wait."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/predict", hold)
    return held


def release_requests(page: Page) -> None:
    """Let the held requests go on, and later ones through."""
    page.unroute("**/predict")


def until(page: Page, holds: Callable[[], object]) -> None:
    """Let the browser go on until `holds`, which only the test can see, is true; 20 seconds at most."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it never came true")
