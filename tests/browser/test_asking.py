"""Pictures come in by every way, and each gets its own answer."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.steps import (
    bring,
    card,
    choose,
    guesses,
    hold_requests,
    release_requests,
    set_threshold,
    settle,
    until,
)

pytestmark = pytest.mark.browser


def test_a_chosen_photo_gets_its_top_three_as_bars_with_text(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    assert len(guesses(page)) == 3
    assert "cat" in card(page).locator(".name").inner_text()
    assert "猫" in card(page).locator(".aside").inner_text()
    for share in card(page).locator(".guess-share").all_inner_texts():
        assert re.fullmatch(r"[<>]?\d+%", share)
    widths = [float(bar.get_attribute("width")) for bar in card(page).locator(".bar-share").all()]
    assert widths == sorted(widths, reverse=True)
    assert 0 < widths[0] <= 100
    expect(card(page).locator("img")).to_be_visible()
    expect(card(page).locator(".facts")).to_contain_text("451 × 300")
    expect(card(page).locator(".facts")).to_contain_text(re.compile(r"recognised in \d+ ms"))
    expect(card(page).locator(".facts")).to_contain_text("efficientnet_lite0")


def test_the_small_model_is_named_with_the_way_to_the_better_one(open_page):
    page = open_page()
    expect(page.locator("#model-name")).to_have_text("efficientnet_lite0")
    expect(page.locator("#model-small")).to_contain_text("python -m app fetch-weights")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_photo_may_be_dropped_or_pasted_anywhere(open_page, pictures, event):
    page = open_page()
    bring(page, event, pictures["cat"])
    assert len(guesses(page)) == 3


def test_dragging_shows_where_a_photo_would_go(open_page):
    page = open_page()
    page.evaluate("document.body.dispatchEvent(new DragEvent('dragover', { bubbles: true, cancelable: true }))")
    expect(page.get_by_text("Let go to add them")).to_be_visible()


def test_a_drop_without_a_file_is_answered_by_a_sentence(open_page):
    page = open_page()
    page.evaluate(
        "document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, dataTransfer: new DataTransfer() }))"
    )
    expect(page.locator("#notice")).to_contain_text("no file")


def test_the_camera_has_a_button_of_its_own_so_that_the_gallery_stays_in_reach(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    expect(page.get_by_label("Take a photo")).to_have_attribute("capture", "environment")
    assert page.get_by_label("Choose photos").get_attribute("capture") is None
    for name in ("Take a photo", "Choose photos"):
        assert page.get_by_label(name).bounding_box()["y"] > 370, "in the thumb's half of the screen"


def test_one_bad_picture_holds_up_no_other(open_page, pictures):
    page = open_page(failing="/predict")
    choose(page, pictures["cat"], pictures["bad"], pictures["coffee"])
    assert [card(page, place).get_attribute("data-state") for place in range(3)] == ["known", "failed", "known"]
    expect(card(page, 1).locator(".message")).to_contain_text("damaged")
    expect(card(page, 1).locator(".retry")).to_be_hidden()
    assert len(guesses(page, 2)) == 3


def test_at_most_two_pictures_are_asked_about_at_once(open_page, pictures):
    page = open_page()
    held = hold_requests(page)
    page.set_input_files("#choose", [str(pictures[name]) for name in ("cat", "coffee", "rocket", "cat")])
    expect(page.get_by_text("Waiting its turn")).to_have_count(2)
    expect(page.locator(".card[data-busy]")).to_have_count(4)
    until(page, lambda: len(held) == 2)
    release_requests(page)
    expect(page.locator(".card[data-state=known]")).to_have_count(4)


def test_a_picture_can_be_removed_even_while_it_is_asked_about(open_page, pictures):
    page = open_page()
    hold_requests(page)
    page.set_input_files("#choose", [str(pictures["cat"]), str(pictures["coffee"])])
    expect(page.locator(".card[data-busy]")).to_have_count(2)
    page.get_by_role("button", name="Remove cat.jpg").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("button", name="Remove coffee.jpg")).to_be_focused()
    page.get_by_role("button", name="Remove coffee.jpg").click()
    expect(page.locator("#results")).to_be_hidden()
    release_requests(page)


def test_switching_the_mode_asks_again_about_the_pictures_on_the_page(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"], pictures["coffee"])
    set_threshold(page, 0.33)
    with page.expect_response("**/predict"):
        page.get_by_label("Mode", exact=True).select_option("fruit")
    settle(page)
    assert guesses(page, 0) == guesses(page, 1) == ["apple", "banana"]
    expect(page.locator("#threshold-shown")).to_have_text("60%")
    expect(card(page).locator(".name")).to_have_text("Unknown")


def test_the_threshold_decides_again_without_asking_the_server(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    name = card(page).locator(".name").inner_text()
    set_threshold(page, 1)
    expect(card(page).locator(".name")).to_have_text("Unknown")
    expect(card(page).locator(".message")).to_contain_text("below 100%")
    assert len(guesses(page)) == 3, "it still shows what it saw"
    expect(page.locator("#announcer")).to_contain_text("Unknown below 100%: 1 of 1")
    page.get_by_role("button", name="Back to 20%").click()
    expect(card(page).locator(".name")).to_have_text(name)
    expect(page.locator("#threshold-reset")).to_be_hidden()
    assert asked == []


def test_beside_the_slider_stands_how_many_known_photos_keep_their_name(open_page):
    page = open_page()
    kept = page.locator("#threshold-kept")
    for value, share in ((0, "100%"), (0.64, "95%"), (0.9, "79%"), (1, "0%")):
        set_threshold(page, value)
        expect(kept).to_have_text(f"{share} of known photos keep their name; the rest become “unknown”.")
    page.get_by_role("link", name="中文").click()
    expect(kept).to_have_text("已知照片中有 0% 保留名称，其余答“未知”。")
    page.get_by_label("识别模式", exact=True).select_option("fruit")
    expect(kept).to_be_hidden()


def test_not_sure_which_cat_it_says_a_cat_and_the_slider_moves_between_the_three_answers(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    name = card(page).locator(".name")
    set_threshold(page, 0.7)
    expect(card(page)).to_have_attribute("data-state", "group")
    expect(name).to_have_text("A cat, breed unsure")
    expect(card(page).locator(".aside")).to_have_text("猫")
    expect(card(page).locator(".message")).to_contain_text(re.compile(r"\d+% sure of “cat”, not which: .* below 70%"))
    assert len(guesses(page)) == 3
    page.get_by_role("link", name="中文").click()
    expect(name).to_have_text("猫（具体种类不确定）")
    set_threshold(page, 1)
    expect(name).to_have_text("未知类别")
    assert asked == []


def test_a_mode_that_has_chosen_a_score_shows_how_sure_it_is_apart_from_its_shares(open_page, pictures):
    page = open_page()
    top = [{"index": place, "label": name, "label_short": name, "label_zh": name, "group": None, "group_zh": None,
            "confidence": share} for place, (name, share) in enumerate([("bee", 0.92), ("ant", 0.08)])]  # fmt: skip
    result = {"filename": "cat.jpg", "unknown": False, "label": "bee", "label_short": "bee", "label_zh": "bee",
              "confidence": 0.92, "sureness": 0.31, "top": top, "level": "class", "group": None,
              "image": {"format": "JPEG", "width": 451, "height": 300}}  # fmt: skip
    model = {"name": "efficientnet_lite0", "version": "1", "sha256": "", "precision": "float32", "origin": "models"}
    answer = {"request_id": "1", "mode": "imagenet", "threshold": 0.2, "model": model, "results": [result],
              "timing_ms": {"decode": 1, "queue": 1, "infer": 1, "total": 3}}  # fmt: skip
    page.route("**/predict", lambda route: route.fulfill(json=answer))
    choose(page, pictures["cat"])
    expect(card(page).locator(".name")).to_have_text("bee")
    expect(card(page).locator(".guess-share")).to_have_text(["92%", "8%", "31%"])
    expect(card(page).locator(".sureness")).to_contain_text("Sure that it is any of these")
    for mark in card(page).locator("ol .bar-mark").all():
        expect(mark).to_be_hidden()
    set_threshold(page, 0.35)
    expect(card(page).locator(".name")).to_have_text("Unknown")
    expect(card(page).locator(".message")).to_contain_text("31% sure that it is any of these, below 35%")
    expect(page.locator("#threshold-kept")).to_be_hidden()  # the page knew another version's shares


def test_a_picture_that_the_browser_cannot_show_gets_a_calm_tile(open_page, tmp_path, cat):
    from pillow_heif import from_pillow

    path = tmp_path / "phone.heic"
    from_pillow(cat).save(path)
    page = open_page()
    choose(page, path)
    expect(card(page).locator(".no-preview")).to_contain_text("HEIC")
    assert len(guesses(page)) == 3
