"""What somebody who teaches does in the browser, and what there is to teach."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

COLOURS = {"plum": (110, 40, 120), "leaf": (50, 130, 50), "brick": (180, 70, 50)}

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn photos of each of three things, in a folder each; and one more of each to try."""
    chance = random.Random(7)
    root = tmp_path_factory.mktemp("things")
    for name, colour in COLOURS.items():
        for number in range(13):
            path = root / ("tried" if number == 12 else "taught") / name / f"{name}{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(name, colour, chance).save(path, quality=90)
    return root


def drawn(name: str, colour: tuple[int, int, int], chance: random.Random) -> Image.Image:
    """A round, a pointed or a square thing somewhere on a cluttered ground."""
    image = Image.new("RGB", (240, 180), tuple(chance.randint(160, 240) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        ends = [chance.randint(0, 240) for _ in range(4)]
        draw.line(ends, fill=tuple(chance.randint(120, 255) for _ in range(3)), width=chance.randint(1, 5))
    x, y, side = chance.randint(10, 110), chance.randint(10, 60), chance.randint(60, 110)
    box, shade = (x, y, x + side, y + side), tuple(one + chance.randint(-20, 20) for one in colour)
    if name == "plum":
        draw.ellipse(box, fill=shade)
    elif name == "leaf":
        draw.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=shade)
    else:
        draw.rectangle(box, fill=shade)
    return image


@pytest.fixture
def album(admin_server: str, open_admin: Open) -> Open:
    """Open a new album of its own, with the classes asked for, on its page."""

    def begin(*classes: str, **options: object) -> Page:
        page = open_admin("/teach", **options)
        key = send(page, "/api/albums", title_en="Drawn", title_zh="画的")["key"]
        for name in classes:
            send(page, f"/api/albums/{key}/classes", label=name, label_zh=f"{name}名")
        page.goto(f"{admin_server}/teach/{key}")
        expect(page.locator(".thing")).to_have_count(len(classes))
        return page

    return begin


def send(page: Page, path: str, **body: str) -> dict[str, Any]:
    """What a program posts."""
    answer = page.request.post(f"http://{page.url.split('/')[2]}{path}", data=body)
    assert answer.ok, answer.text()
    return answer.json()


def thing(page: Page, name: str) -> Locator:
    """The section of one class."""
    return page.get_by_role("article", name=name)


def photos(page: Page, name: str) -> Locator:
    """The thumbnails of one class."""
    return thing(page, name).get_by_role("option")


def choose(page: Page, name: str, paths: list[Path]) -> None:
    """Choose photos for a class."""
    page.get_by_label(f"Choose photos of {name}").set_input_files([str(path) for path in paths])


def drop(page: Page, target: Locator, *paths: Path) -> None:
    """Drop files or folders from the desktop."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def violations(page: Page) -> list[str]:
    """axe-core's complaints, by rule and element."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
