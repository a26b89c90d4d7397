"""The queue of corrections, worked by keyboard and by hand, honest where somebody else was quicker."""

from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import expect

from app.feedback.pictures import folder_of
from app.feedback.review import decide, list_entries
from tests.browser.corrections import at, correct, draw, entries, forget_corrections, names, status_of
from tests.browser.test_everyone import PHONE, violations

pytestmark = pytest.mark.browser

LABELS = ["banana", "kiwi", None, "apple", "banana", "cherry", "apple", "banana"]
SHOWN = ["banana", "kiwi", "None of these", "apple", "banana", "cherry", "apple", "banana"]
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(autouse=True)
def _empty(admin_application: Flask) -> None:
    forget_corrections(admin_application)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight pictures that look different."""
    folder = tmp_path_factory.mktemp("photos")
    return [draw(folder / f"{seed}.jpg", seed) for seed in range(8)]


@pytest.fixture
def eight(admin_application: Flask, photos: list[Path]) -> list[str]:
    """Eight corrections that wait."""
    return correct(admin_application, photos, LABELS)


def test_the_queue_is_worked_by_keyboard_alone(open_admin, admin_application, eight):
    page = open_admin()
    expect(entries(page)).to_have_count(8)
    assert names(page) == SHOWN
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("a")
    expect(entries(page)).to_have_count(7)
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#did")).to_have_text("Rejected: kiwi")
    page.keyboard.press("Enter")
    expect(page.locator("#did")).to_have_text("Accepted: None of these")
    page.keyboard.press("r")
    field = page.get_by_label("The right name")
    expect(field).to_be_focused()
    field.fill("dragon fruit")
    page.keyboard.press("Enter")
    expect(page.locator("#did")).to_have_text("Accepted: dragon fruit")
    page.keyboard.press("Delete")
    expect(page.locator("[data-status=pending] .tab-count")).to_have_text("3")
    expect(page.locator("[data-status=accepted] .tab-count")).to_have_text("3")
    assert [status_of(admin_application, one) for one in eight] == [
        ("accepted", "banana"), ("rejected", None), ("accepted", None), ("accepted", "dragon fruit"),
        ("rejected", None), ("pending", None), ("pending", None), ("pending", None),
    ]  # fmt: skip


def test_the_arrows_move_over_the_grid_as_the_eye_does(open_admin, eight):
    page = open_admin(viewport={"width": 1000, "height": 800})
    expect(at(page, 0)).to_be_focused()
    for key, place in [
        ("ArrowRight", 1), ("ArrowDown", 4), ("ArrowDown", 7), ("ArrowDown", 7), ("ArrowUp", 4), ("ArrowLeft", 3),
        ("End", 7), ("ArrowRight", 7), ("ArrowUp", 4), ("ArrowRight", 5), ("ArrowDown", 7), ("Home", 0),
        ("ArrowLeft", 0),
    ]:  # fmt: skip
        page.keyboard.press(key)
        expect(at(page, place)).to_be_focused()
    assert page.locator("[role=gridcell][tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    expect(at(page, 0).get_by_role("button", name="Accept")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#did")).to_have_text("Accepted: banana")


def test_decisions_are_undone_step_by_step_each_back_in_its_place(open_admin, admin_application, eight):
    page = open_admin()
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    for key in "axa":
        page.keyboard.press(key)
    expect(entries(page)).to_have_count(5)
    page.keyboard.press("u")
    expect(entries(page)).to_have_count(6)
    expect(at(page, 1)).to_be_focused()
    expect(at(page, 1)).to_contain_text("apple")
    page.keyboard.press("Control+z")
    expect(at(page, 1)).to_contain_text("None of these")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#did")).to_have_text("Back in the queue: kiwi")
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    assert names(page) == SHOWN
    assert {status_of(admin_application, one) for one in eight} == {("pending", None)}
    page.keyboard.press("u")
    assert names(page) == SHOWN


def test_renaming_suggests_the_modes_names_and_understands_either_language(open_admin, admin_application, eight):
    page = open_admin(locale="zh-CN")
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("r")
    field = page.get_by_label("正确的名称")
    options = page.locator(f"datalist#{field.get_attribute('list')} option")
    assert options.evaluate_all("all => all.map(o => o.value)") == ["苹果", "香蕉"]
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(at(page, 0)).to_be_focused()
    expect(entries(page)).to_have_count(8)
    page.keyboard.press("r")
    field.fill(" 苹果 ")
    page.keyboard.press("Enter")
    expect(page.locator("#did")).to_have_text("已采纳：苹果")
    expect(page.locator("[data-status=accepted] .tab-count")).to_have_text("1")
    assert status_of(admin_application, eight[0]) == ("accepted", "apple")


def test_a_second_page_that_was_quicker_is_told_of_and_not_overruled(open_admin, admin_application, eight):
    first, second = open_admin(), open_admin(failing="/api/corrections/")
    expect(entries(first)).to_have_count(8)
    expect(entries(second)).to_have_count(8)
    first.keyboard.press("a")
    expect(first.locator("[data-status=accepted] .tab-count")).to_have_text("1")
    second.keyboard.press("x")
    card = entries(second).first
    expect(card).to_contain_text("Somebody else was quicker and accepted it as: banana")
    expect(second.locator("#did")).to_contain_text("Not done (banana).")
    assert status_of(admin_application, eight[0]) == ("accepted", "banana")
    card.get_by_role("button", name="All right").click()
    expect(entries(second)).to_have_count(7)
    first.keyboard.press("u")
    expect(entries(first)).to_have_count(8)
    second.keyboard.press("x")
    expect(second.locator("[data-status=rejected] .tab-count")).to_have_text("1")
    first.keyboard.press("ArrowRight")
    first.keyboard.press("ArrowLeft")
    assert status_of(admin_application, eight[0])[0] == "pending"


def test_a_server_that_is_away_gives_the_card_back_with_a_sentence(open_admin, admin_application, eight):
    page = open_admin(failing="/api/corrections/")
    expect(entries(page).first.get_by_role("gridcell")).to_be_focused()
    page.route("**/api/corrections/*", lambda route: route.abort())
    page.keyboard.press("a")
    expect(entries(page).first).to_contain_text("The server did not answer")
    expect(entries(page)).to_have_count(8)
    assert status_of(admin_application, eight[0]) == ("pending", None)
    page.unroute("**/api/corrections/*")
    entries(page).first.get_by_role("button", name="Accept").click()
    expect(page.locator("[data-status=accepted] .tab-count")).to_have_text("1")
    expect(page.locator("#notice")).to_be_hidden()


def test_everything_works_with_a_finger(open_admin, eight):
    page = open_admin(**PHONE)
    expect(entries(page)).to_have_count(8)
    entries(page).first.get_by_role("button", name="Accept").tap()
    expect(entries(page)).to_have_count(7)
    entries(page).first.get_by_role("button", name="Rename").tap()
    page.get_by_label("The right name").fill("lime")
    entries(page).first.get_by_role("button", name="Accept").tap()
    expect(page.locator("#did")).to_have_text("Accepted: lime")
    entries(page).first.get_by_role("button", name="Reject").tap()
    expect(entries(page)).to_have_count(5)
    page.get_by_role("button", name="Undo").tap()
    expect(entries(page)).to_have_count(6)
    sizes = page.locator("button:visible, input:visible").evaluate_all(
        "all => all.map((one) => [one.innerText, one.offsetWidth, one.offsetHeight])"
    )
    assert [one for one in sizes if min(one[1:]) < 24] == []


def test_a_card_tells_what_was_answered_what_is_right_and_how_often(open_admin, admin_application, photos):
    correct(admin_application, [photos[0], photos[0], photos[0]], ["banana"] * 3)
    correct(admin_application, [], ["mango"])
    page = open_admin()
    same, bare = entries(page).nth(0), entries(page).nth(1)
    expect(same).to_contain_text("Wanwu did not know it (55%)")
    expect(same).to_contain_text("sent 3 times")
    expect(same).to_contain_text("version 1")
    expect(same.get_by_alt_text("The photo in question")).to_be_visible()
    expect(bare).to_contain_text("No photo was kept")
    expect(bare).to_contain_text("A name that the mode has not yet")


def test_a_photo_that_is_gone_leaves_a_word_in_its_place(open_admin, admin_application, photos):
    correct(admin_application, photos[:1], ["banana"])
    for path in folder_of(admin_application.extensions["settings"].models_dir).iterdir():
        path.unlink()
    page = open_admin(failing="/picture")
    expect(entries(page).first).to_contain_text("The photo is gone")


def test_the_modes_and_the_tabs_say_which_corrections_are_shown(open_admin, admin_application, photos):
    correct(admin_application, photos, ["banana", "apple"])
    correct(admin_application, photos, ["tabby cat"], mode="imagenet")
    page = open_admin()
    expect(entries(page)).to_have_count(3)
    page.get_by_role("button", name="Fruit stall").click()
    expect(entries(page)).to_have_count(2)
    entries(page).first.get_by_role("button", name="Accept").click()
    expect(page.locator("[data-status=accepted] .tab-count")).to_have_text("1")
    page.get_by_role("button", name="Accepted").click()
    expect(page.locator(".tab[data-status=accepted]")).to_have_attribute("aria-pressed", "true")
    expect(entries(page)).to_have_count(1)
    entries(page).first.get_by_role("button", name="Put back").click()
    expect(page.get_by_text("Nothing has been accepted yet.")).to_be_visible()
    page.get_by_role("button", name="To decide").click()
    expect(entries(page)).to_have_count(2)
    page.get_by_role("button", name="All modes").click()
    expect(entries(page)).to_have_count(3)


def test_the_queue_is_loaded_as_one_goes_on(open_admin, admin_application):
    correct(admin_application, [], ["banana"] * 30)
    page = open_admin()
    expect(entries(page)).to_have_count(24)
    page.keyboard.press("End")
    expect(entries(page)).to_have_count(30)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_an_empty_queue_says_what_it_is_for(open_admin, admin_application, photos):
    page = open_admin()
    expect(page.get_by_text("No corrections yet")).to_be_visible()
    expect(page.locator("#nothing")).to_contain_text("Not right?")
    expect(page.locator("#trainings")).to_be_hidden()
    correct(admin_application, photos, ["banana"])
    page.reload()
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("a")
    expect(page.get_by_text("Nothing waits for a decision.")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("u")
    expect(at(page, 0)).to_be_focused()


def test_a_question_mark_shows_the_keys(open_admin, eight):
    page = open_admin()
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(at(page, 0)).to_be_focused()


def test_stillness_is_still(open_admin, eight):
    page = open_admin(reduced_motion="reduce")
    expect(at(page, 0)).to_be_focused()
    page.keyboard.press("a")
    assert page.evaluate("document.getAnimations().length") == 0
    expect(page.locator(".entry")).to_have_count(7)


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_never_scrolls_sideways(open_admin, admin_application, eight, photos, locale, width):
    correct(admin_application, photos[:1], ["tabby cat"], mode="imagenet")
    page = open_admin(locale=locale, viewport={"width": width, "height": 740})
    expect(at(page, 0)).to_be_focused()
    assert page.evaluate(SIDEWAYS) == 0
    page.keyboard.press("a")
    page.keyboard.press("r")
    assert page.evaluate(SIDEWAYS) == 0


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(open_admin, admin_application, photos, scheme, locale):
    page = open_admin(color_scheme=scheme, locale=locale, reduced_motion="reduce", failing="/api/corrections/")
    expect(page.locator("#nothing")).to_be_visible()
    found = [("empty", violations(page))]
    correct(admin_application, photos, LABELS)
    correct(admin_application, photos[:1], ["tabby cat"], mode="imagenet")
    page.reload()
    expect(at(page, 0)).to_be_focused()
    found.append(("waiting", violations(page)))
    first = list_entries(admin_application.extensions["database"]).entries[0].correction
    decide(admin_application.extensions["database"], first.id, "accept", revision=0, by="somebody else")
    page.keyboard.press("a")
    expect(entries(page).first.locator(".entry-trouble")).not_to_be_empty()
    entries(page).nth(1).locator(".entry-relabel").click()
    found.append(("told and asking", violations(page)))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    found.append(("keys", violations(page)))
    page.keyboard.press("Escape")
    page.locator(".tab[data-status=accepted]").click()
    expect(entries(page)).to_have_count(1)
    found.append(("accepted", violations(page)))
    assert [(state, rules) for state, rules in found if rules] == []
