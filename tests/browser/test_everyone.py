"""The page is for everyone: two languages, no script, keyboard, screen reader, small screen, darkness, stillness."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.steps import card, choose, guesses, set_threshold

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def test_the_language_switch_keeps_the_results_and_tells_them_in_the_other_language(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("heading", level=1)).to_have_text("这是什么？")
    assert all("猫" in name for name in guesses(page))
    expect(page.get_by_label("识别模式")).to_contain_text("水果摊")
    expect(page).to_have_title("万物识别 Wanwu：这是什么？")
    assert asked == []
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("这是什么？")


@pytest.mark.parametrize(
    ("locale", "heading"), [("zh-CN", "这是什么？"), ("zh-TW", "这是什么？"), ("fr-FR", "What is this?")]
)
def test_the_browsers_language_is_understood(open_page, locale, heading):
    expect(open_page(locale=locale).get_by_role("heading", level=1)).to_have_text(heading)


def test_without_javascript_the_form_is_answered_by_a_page(open_page, pictures):
    page = open_page(java_script_enabled=False)
    page.set_input_files("#choose", [str(pictures["cat"]), str(pictures["bad"])])
    page.get_by_role("button", name="Recognise").click()
    expect(card(page).locator(".guess-name")).to_have_count(3)
    expect(card(page).locator(".file")).to_have_text("cat.jpg")
    expect(card(page, 1).locator(".message")).to_contain_text("damaged")


def test_without_javascript_the_mode_and_the_threshold_count(open_page, pictures):
    page = open_page(java_script_enabled=False)
    page.set_input_files("#choose", str(pictures["cat"]))
    page.get_by_label("Mode", exact=True).select_option("fruit")
    page.get_by_role("button", name="Recognise").click()
    expect(card(page)).to_have_attribute("data-state", "unknown")
    expect(page.get_by_label("Mode", exact=True)).to_have_value("fruit")
    page.set_input_files("#choose", str(pictures["cat"]))
    page.get_by_label("How sure it must be").fill("0.5")
    page.get_by_role("button", name="Recognise").click()
    expect(card(page).locator(".name")).to_have_text("apple")


def test_without_javascript_an_error_is_a_sentence_on_the_page(open_page):
    page = open_page(failing="/$", java_script_enabled=False, locale="zh-CN")
    page.get_by_role("button", name="开始识别").click()
    expect(page.locator("#notice")).to_contain_text("没有收到图片")


def test_without_javascript_the_language_links_work_and_stay(open_page, server):
    page = open_page(java_script_enabled=False)
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("这是什么？")
    page.goto(server)
    expect(page.get_by_role("heading", level=1)).to_have_text("这是什么？")


def test_everything_is_in_reach_of_the_keyboard(open_page, pictures):
    page = open_page()
    page.on("filechooser", lambda chooser: chooser.set_files(str(pictures["cat"])))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    page.keyboard.press("Enter")
    expect(card(page)).to_have_attribute("data-state", "known")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Use the camera live")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Mode", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Ask all modes at once")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("How sure it must be")).to_be_focused()
    page.keyboard.press("End")
    expect(card(page)).to_have_attribute("data-state", "unknown")
    for name in ("Back to 20%", "Clear all", "Remove cat.jpg"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name)).to_be_focused()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", f"the focus on {name} is visible"
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#choose")).to_be_focused()


def test_answers_are_spoken(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    expect(page.locator("#announcer[role=status]")).to_contain_text("cat.jpg: ")
    expect(page.locator("#announcer")).to_contain_text("%")
    expect(page.get_by_label("How sure it must be")).to_have_attribute("aria-valuetext", "20%")


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_narrow_screen_never_scrolls_sideways(open_page, pictures, locale, width):
    page = open_page(failing="/predict", locale=locale, viewport={"width": width, "height": 740})
    sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(sideways) == 0
    choose(page, pictures["cat"], pictures["bad"])
    assert page.evaluate(sideways) == 0


def test_targets_are_large_enough_for_a_finger(open_page, pictures):
    page = open_page(**PHONE)
    choose(page, pictures["cat"])
    set_threshold(page, 0.5)
    for target in page.locator("button:visible, select:visible, header a:visible, input:visible").all():
        box = target.bounding_box()
        assert box["height"] >= 24, target
        assert box["width"] >= 24, target


def test_darkness_is_dark_and_stillness_is_still(open_page, pictures):
    page = open_page(color_scheme="dark", reduced_motion="reduce")
    choose(page, pictures["cat"])
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert max(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")) < 60
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(open_page, pictures, scheme, locale):
    page = open_page(failing="/predict", color_scheme=scheme, locale=locale, reduced_motion="reduce")
    found = [("empty", violations(page))]
    choose(page, pictures["cat"], pictures["bad"])
    found.append(("answered and failed", violations(page)))
    set_threshold(page, 0.7)
    expect(card(page)).to_have_attribute("data-state", "group")
    found.append(("named by group", violations(page)))
    set_threshold(page, 1)
    expect(card(page)).to_have_attribute("data-state", "unknown")
    found.append(("unknown", violations(page)))
    assert [(state, names) for state, names in found if names] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_phone_nor_without_a_script(open_page, pictures, scheme):
    page = open_page(color_scheme=scheme, reduced_motion="reduce", **PHONE)
    choose(page, pictures["cat"])
    assert violations(page) == []
    page = open_page("/nowhere", failing="/nowhere", color_scheme=scheme)
    assert violations(page) == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_pages_around(open_page, scheme, locale):
    page = open_page("/docs", color_scheme=scheme, locale=locale)
    assert violations(page) == []
    page = open_page("/teach", color_scheme=scheme, locale=locale)
    expect(page).to_have_url(re.compile("/login"))
    assert violations(page) == []


def violations(page) -> list[str]:
    """axe-core's complaints, by rule and element."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
