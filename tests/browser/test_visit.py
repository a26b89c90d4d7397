"""The photos of this visit: kept in the tab, brought back, forgotten, and never a reason to fail."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import card, choose, set_threshold, settle
from tests.browser.test_everyone import violations

pytestmark = pytest.mark.browser

VISIT = "wanwu-visit"


def thumbnails(page: Page):
    return page.locator("#visit-photos button")


def choose_and_keep(page: Page, *paths):
    """Choose pictures and wait until the strip has them, too, which is a moment after their answers."""
    choose(page, *paths)
    expect(thumbnails(page)).to_have_count(len(paths))


def test_photos_come_back_with_their_answers_after_going_to_another_place(open_page, pictures, server):
    page = open_page()
    choose_and_keep(page, pictures["cat"], pictures["coffee"])
    expect(page.locator("#visit")).to_be_hidden()  # both are on the page
    page.goto(f"{server}/docs")
    page.goto(server)
    expect(thumbnails(page)).to_have_count(2)
    expect(page.locator("#visit")).to_contain_text("in this browser only")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/predict" in request.url else None)
    page.get_by_role("button", name="cat.jpg: ").click()
    expect(card(page)).to_have_attribute("data-state", "known")
    expect(card(page).locator(".file")).to_have_text("cat.jpg")
    assert "cat" in card(page).locator(".name").inner_text()
    assert asked == [], "the answer came along"
    card(page).locator(".where").click()
    expect(card(page).locator(".heat")).to_be_visible()
    page.get_by_label("Mode", exact=True).select_option("fruit")
    settle(page)
    expect(card(page).locator(".guess-name").first).to_have_text("apple")
    expect(thumbnails(page)).to_have_count(2)


def test_one_that_was_answered_by_another_mode_is_asked_about_again(open_page, pictures, server):
    page = open_page()
    choose_and_keep(page, pictures["cat"])
    page.goto(f"{server}/?mode=fruit")
    page.get_by_role("button", name="cat.jpg: ").click()
    settle(page)
    expect(card(page).locator(".guess-name").first).to_have_text("apple")


def test_choosing_one_that_is_on_the_page_goes_there(open_page, pictures):
    page = open_page(viewport={"width": 390, "height": 700})
    choose_and_keep(page, *(pictures[name] for name in ("cat", "coffee", "rocket", "cat")))
    assert violations(page) == []
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="rocket.jpg: ").click()
    expect(page.locator(".card").filter(has_text="rocket.jpg").locator(".name")).to_be_in_viewport()
    expect(page.locator(".card").filter(has_text="rocket.jpg").locator(".name")).to_be_focused()
    expect(page.locator(".card")).to_have_count(4)


def test_a_removed_photo_can_be_brought_back_and_all_can_be_forgotten(open_page, pictures):
    page = open_page()
    choose_and_keep(page, pictures["cat"])
    page.get_by_role("button", name="Remove cat.jpg").click()
    thumbnails(page).click()
    expect(card(page)).to_have_attribute("data-state", "known")
    expect(page.locator("#visit")).to_be_hidden()
    page.get_by_role("button", name="Clear all").click()
    expect(thumbnails(page)).to_have_count(1)
    page.get_by_role("button", name="Forget all").click()
    expect(page.locator("#visit")).to_be_hidden()
    assert page.evaluate(f"sessionStorage.getItem('{VISIT}')") is None
    page.reload()
    expect(page.locator("#visit")).to_be_hidden()


def test_the_threshold_and_the_language_decide_in_the_strip_too(open_page, pictures):
    page = open_page()
    choose_and_keep(page, pictures["coffee"])
    page.reload()
    expect(thumbnails(page)).to_have_text("espresso coffee")
    set_threshold(page, 1)
    expect(thumbnails(page)).to_have_text("Unknown")
    page.get_by_role("link", name="中文").click()
    expect(thumbnails(page)).to_have_text("未知类别")


def test_the_oldest_go_first(open_page, pictures):
    page = open_page()
    page.set_input_files("#choose", [str(pictures["cat"])] * 25)
    expect(page.locator(".card[data-state=known]")).to_have_count(25, timeout=60_000)
    expect(thumbnails(page)).to_have_count(24)
    kept = page.evaluate(f"JSON.parse(sessionStorage.getItem('{VISIT}')).length")
    assert kept == 24


@pytest.mark.parametrize(
    "trouble",
    [
        "() => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; }",
        "() => { const get = () => { throw new DOMException('no', 'SecurityError'); };"
        " Object.defineProperty(window, 'sessionStorage', { get }); }",
    ],
)
def test_a_browser_that_keeps_nothing_breaks_nothing(open_page, pictures, trouble):
    page = open_page()
    page.evaluate(trouble)
    choose_and_keep(page, pictures["cat"], pictures["coffee"])
    page.get_by_role("button", name="Remove cat.jpg").click()
    page.get_by_role("button", name="Remove coffee.jpg").click()
    expect(thumbnails(page)).to_have_count(2)
    page.get_by_role("button", name="Forget all").click()
    expect(page.locator("#visit")).to_be_hidden()


def test_when_the_storage_is_full_the_newest_stay(open_page, pictures):
    page = open_page()
    page.evaluate(
        """() => {
            const set = Storage.prototype.setItem;
            Storage.prototype.setItem = function (key, value) {
                if (value.length > 100_000) throw new DOMException("full", "QuotaExceededError");
                set.call(this, key, value);
            };
        }"""
    )
    choose(page, *(pictures[name] for name in ("cat", "coffee", "rocket", "cat", "coffee")))
    page.wait_for_function(f"sessionStorage.getItem('{VISIT}') !== null")
    page.wait_for_timeout(300)  # for the last of them, too
    kept = page.evaluate(f"JSON.parse(sessionStorage.getItem('{VISIT}')).length")
    assert 1 <= kept < 5


def test_something_strange_in_the_storage_breaks_nothing(open_page, pictures):
    page = open_page()
    page.evaluate(f"sessionStorage.setItem('{VISIT}', 'not json')")
    page.reload()
    choose(page, pictures["cat"])
    expect(card(page)).to_have_attribute("data-state", "known")
