"""The report of a version in a real browser: one language at a time, on a phone, in the dark, and on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from app.training.report import REPORT_HTML, report_files
from tests.outcomes import drawn_outcome

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on the disk."""
    folder = tmp_path_factory.mktemp("report")
    path = folder / REPORT_HTML
    path.write_bytes(report_files(drawn_outcome(folder), max_pixels=10**7)[REPORT_HTML])
    return path


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An English phone."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, locale="en-GB")
    yield context.new_page()
    context.close()


def test_the_switch_shows_one_language_at_a_time(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    assert page.get_by_role("heading", level=1).inner_text() == "My things"
    page.get_by_label("中文").check()
    assert page.get_by_role("heading", level=1).inner_text() == "我的东西"
    assert page.locator("html").get_attribute("lang") == "zh-CN"


def test_the_switch_works_without_a_script(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("label", has_text="中文").click()
    assert page.get_by_text("我的东西").is_visible()
    assert not page.get_by_text("My things").is_visible()
    context.close()


def test_a_chinese_reader_is_met_in_chinese(browser: Browser, report: Path) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.get_by_role("heading", level=1).inner_text() == "我的东西"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_and_axe_finds_nothing(page: Page, report: Path, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    violations = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in violations] == []


def test_paper_is_white_even_for_a_dark_screen(page: Page, report: Path) -> None:
    page.emulate_media(color_scheme="dark", media="print")
    page.goto(report.as_uri())
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.get_by_label("中文").is_visible()
