""" "Where did it look?": a map over the photo for each name, told in words, by keyboard, faded, and gone again."""

import json

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import card, choose, set_threshold
from tests.browser.test_everyone import PHONE, violations

pytestmark = pytest.mark.browser

STEPS = """([selector, spots]) => {
    const canvas = document.querySelector(selector);
    const context = canvas.getContext("2d");
    return spots.map(([x, y]) => [...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data]);
}"""


@pytest.fixture(scope="module")
def corner(tmp_path_factory, cat):
    """A cat in the upper right of a grey picture."""
    path = tmp_path_factory.mktemp("looking") / "corner.jpg"
    canvas = Image.new("RGB", (512, 512), (128, 128, 128))
    canvas.paste(cat.crop((80, 0, 380, 300)).resize((200, 200)), (268, 44))
    canvas.save(path)
    return path


def look(page: Page) -> None:
    card(page).get_by_role("button", name="Where did it look?").click()
    expect(card(page).get_by_role("radio")).to_have_count(3)


def glow(page: Page, x: float, y: float) -> int:
    """How red the overlay is at a place of the photo."""
    [[red, *_]] = page.evaluate(STEPS, [".heat", [[x, y]]])
    return red


def test_the_overlay_glows_on_the_thing_and_words_say_where(open_page, corner):
    page = open_page()
    choose(page, corner)
    look(page)
    expect(card(page).locator(".look-said")).to_contain_text("mostly upper right")
    assert glow(page, 0.72, 0.28) > 200
    assert glow(page, 0.25, 0.75) < 60
    assert card(page).locator(".look-said").get_attribute("role") == "status"


def boxes(page, place: int) -> dict[str, list[float]]:
    """Where the photo and the overlay lie within the card, whatever the page scrolls meanwhile."""
    return card(page, place).evaluate("""card => Object.fromEntries(["img", "canvas"].map((name) => {
        const [one, whole] = [card.querySelector(`.photo ${name}`), card].map((part) => part.getBoundingClientRect());
        return [name, [one.x - whole.x, one.y - whole.y, one.width, one.height]];
    }))""")


def test_the_overlay_lies_exactly_over_the_photo(open_page, pictures, corner, tmp_path):
    tall = tmp_path / "tall.jpg"
    Image.open(corner).resize((300, 900)).save(tall)
    for width in (1280, 390):
        page = open_page(viewport={"width": width, "height": 844})
        choose(page, pictures["cat"], tall)
        for place in range(2):
            card(page, place).locator(".where").click()
            expect(card(page, place).locator("canvas")).to_be_visible()
            photo, heat = (card(page, place).locator(f".photo {one}") for one in ("img", "canvas"))
            assert boxes(page, place)["img"] == pytest.approx(boxes(page, place)["canvas"], abs=0.6)
            sides = "(one) => (one.naturalWidth ?? one.width) / (one.naturalHeight ?? one.height)"
            assert photo.evaluate(sides) == pytest.approx(heat.evaluate(sides), rel=0.01)


def test_what_the_network_did_not_see_is_told_and_framed(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    look(page)
    expect(card(page).locator(".look-said")).to_contain_text("only what is inside the frame")
    outside, frame = page.evaluate(STEPS, [".heat", [[0.02, 0.5], [0.5, 0.065]]])
    assert outside[3] > 150
    assert max(outside[:3]) < 40
    assert min(frame[:3]) > 150


def test_each_name_has_its_own_map_and_the_keyboard_reaches_them(open_page, pictures):
    page = open_page()
    choose(page, pictures["rocket"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    card(page).locator(".where").focus()
    page.keyboard.press("Enter")
    radios = card(page).get_by_role("radio")
    expect(radios.first).to_be_focused()
    expect(radios.first).to_be_checked()
    names = card(page).locator(".guess-name").all_inner_texts()
    assert card(page).locator(".look-names label").all_inner_texts() == names
    first = page.evaluate("document.querySelector('.heat').toDataURL()")
    page.keyboard.press("ArrowDown")
    expect(radios.nth(1)).to_be_checked()
    expect(card(page).locator(".look-said")).to_contain_text(names[1])
    assert page.evaluate("document.querySelector('.heat').toDataURL()") != first
    assert len([url for url in asked if "/predict" in url]) == 1, "all maps come at once"
    page.keyboard.press("Tab")
    expect(card(page).get_by_label("Strength")).to_be_focused()
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.querySelector('.heat')).opacity") == "0"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card(page).locator(".heat")).to_have_count(0)
    expect(card(page).get_by_role("button", name="Where did it look?")).to_be_focused()


def test_a_second_look_asks_nothing_and_a_new_answer_ends_the_old_look(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    look(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/predict" in request.url else None)
    card(page).locator(".where").click()
    expect(card(page).locator(".look")).to_be_hidden()
    look(page)
    assert asked == []
    set_threshold(page, 1)
    expect(card(page).locator(".heat")).to_be_visible()
    page.get_by_label("Mode", exact=True).select_option("fruit")
    expect(card(page)).to_have_attribute("data-state", "unknown")
    expect(card(page).locator(".look")).to_be_hidden()
    expect(card(page).locator(".heat")).to_have_count(0)


def test_a_mode_whose_answer_no_photo_changes_says_that_nothing_speaks_for_it(open_page, pictures):
    page = open_page("/?mode=fruit")
    choose(page, pictures["cat"])
    card(page).locator(".where").click()
    expect(card(page).locator(".look-said")).to_contain_text("apple: nothing in the photo speaks for it.")


def test_what_went_wrong_is_said_and_asked_again(open_page, pictures):
    page = open_page(failing="/predict")
    choose(page, pictures["cat"])
    body = json.dumps({"code": "deadline", "detail": "x"})
    page.route(
        "**/predict", lambda route: route.fulfill(status=504, content_type="application/problem+json", body=body)
    )
    card(page).locator(".where").click()
    expect(card(page).locator(".look-said")).to_contain_text("took too long")
    page.unroute("**/predict")
    card(page).locator(".where").click()
    look(page)


def test_the_language_switch_takes_the_look_along(open_page, corner):
    page = open_page()
    choose(page, corner)
    look(page)
    page.get_by_role("link", name="中文").click()
    expect(card(page).locator(".look-said")).to_contain_text("主要看右上方")
    expect(card(page).get_by_text("支持这个答案的部分")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_looking(open_page, pictures, scheme):
    page = open_page(color_scheme=scheme, reduced_motion="reduce", **PHONE)
    choose(page, pictures["cat"])
    look(page)
    assert violations(page) == []
    sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(sideways) == 0
    for target in page.locator(".look :is(input, button):visible").all():
        assert target.bounding_box()["height"] >= 24
