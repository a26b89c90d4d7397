"""What cannot be answered is said in a sentence, and tried again where that may help."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser.steps import card, choose, guesses

pytestmark = pytest.mark.browser

BUSY = {
    "status": 503,
    "content_type": "application/problem+json",
    "headers": {"Retry-After": "1"},
    "body": json.dumps({"status": 503, "code": "busy", "detail": "The server is busy."}),
}


def test_a_picture_too_large_to_send_is_scaled_down_first(open_page, pictures):
    page = open_page()
    choose(page, pictures["large"])
    expect(card(page).locator(".note")).to_contain_text("scaled down to 2048 × 1362")
    expect(card(page).locator(".facts")).to_contain_text("2048 × 1362")


def test_a_large_file_that_cannot_be_scaled_down_is_refused_without_sending_it(open_page, pictures):
    page = open_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/predict" in request.url else None)
    choose(page, pictures["large_unreadable"])
    expect(card(page).locator(".message")).to_have_text("The upload is larger than the limit of 1 MB.")
    assert asked == []


def test_a_busy_server_is_asked_again_after_the_pause_it_wishes(open_page, pictures):
    page = open_page(failing="/predict")
    answers = [BUSY, BUSY]
    page.route("**/predict", lambda route: route.fulfill(**answers.pop()) if answers else route.continue_())
    page.set_input_files("#choose", str(pictures["cat"]))
    expect(card(page).locator(".progress")).to_contain_text("busy")
    expect(card(page)).to_have_attribute("data-state", "known")
    assert answers == []


def test_a_server_that_stays_busy_is_left_alone_until_the_visitor_tries_again(open_page, pictures):
    page = open_page(failing="/predict")
    page.route("**/predict", lambda route: route.fulfill(**BUSY))
    choose(page, pictures["cat"])
    expect(card(page).locator(".message")).to_contain_text("busy")
    page.unroute("**/predict")
    card(page).get_by_role("button", name="Try again").click()
    expect(card(page)).to_have_attribute("data-state", "known")
    assert len(guesses(page)) == 3


def test_a_server_that_is_gone_is_told_in_both_languages(open_page, pictures):
    page = open_page(failing="/predict")
    page.route("**/predict", lambda route: route.abort())
    choose(page, pictures["cat"])
    expect(card(page).locator(".message")).to_contain_text("did not answer")
    page.get_by_role("link", name="中文").click()
    expect(card(page).locator(".message")).to_contain_text("服务器没有响应")


def test_an_errors_sentence_follows_the_language(open_page, pictures):
    page = open_page(failing="/predict")
    choose(page, pictures["bad"])
    expect(card(page).locator(".message")).to_have_text("This picture is damaged or incomplete and cannot be read.")
    page.get_by_role("link", name="中文").click()
    expect(card(page).locator(".message")).to_have_text("图片已损坏或不完整，无法读取。")


def test_a_proxys_own_error_page_is_no_riddle(open_page, pictures):
    page = open_page(failing="/predict")
    page.route("**/predict", lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Bad Gateway"))
    choose(page, pictures["cat"])
    expect(card(page).locator(".message")).to_contain_text("did not answer")
