"""Other modes beside the chosen one, and the same question for a terminal."""

import json
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import card, choose, set_threshold
from tests.browser.test_everyone import violations

pytestmark = pytest.mark.browser


def ask_all(page: Page) -> None:
    page.get_by_label("Ask all modes at once").check()


def test_all_modes_answer_beside_the_chosen_one(open_page, pictures):
    page = open_page()
    ask_all(page)
    choose(page, pictures["cat"])
    others = card(page).locator(".others")
    expect(others).to_contain_text("Fruit stall")
    expect(others).to_contain_text("Unknown (closest: apple)")
    expect(others).to_contain_text("55%")
    assert float(others.locator(".bar-share").get_attribute("width")) == pytest.approx(55)
    expect(others).not_to_contain_text("1000 everyday things")
    assert violations(page) == []
    page.get_by_role("link", name="中文").click()
    expect(others).to_contain_text("水果摊")
    expect(others).to_contain_text("未知类别（最接近苹果）")


def test_switching_it_on_asks_for_what_is_on_the_page_and_off_hides_it(open_page, pictures):
    page = open_page(failing="/predict")
    choose(page, pictures["cat"], pictures["bad"])
    ask_all(page)
    expect(card(page).locator(".others")).to_contain_text("55%")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/predict" in request.url else None)
    page.get_by_label("Ask all modes at once").uncheck()
    expect(page.locator(".others:visible")).to_have_count(0)
    ask_all(page)
    expect(card(page).locator(".others")).to_contain_text("55%")
    assert asked == [], "what was answered stays known"


def test_another_chosen_mode_changes_places_with_the_others(open_page, pictures):
    page = open_page()
    ask_all(page)
    choose(page, pictures["cat"])
    page.get_by_label("Mode", exact=True).select_option("fruit")
    others = card(page).locator(".others")
    expect(others).to_contain_text("1000 everyday things")
    expect(others).to_contain_text("cat")
    expect(others).not_to_contain_text("Fruit stall")


def test_a_mode_that_does_not_answer_spoils_no_other(open_page, pictures):
    page = open_page(failing="/predict")

    def refuse(route):
        if b"fruit" in (route.request.post_data_buffer or b""):
            route.fulfill(
                status=404, content_type="application/problem+json", body=json.dumps({"code": "unknown_mode"})
            )
        else:
            route.continue_()

    page.route("**/predict", refuse)
    ask_all(page)
    choose(page, pictures["cat"])
    expect(card(page).locator(".others")).to_contain_text("No answer")
    expect(card(page)).to_have_attribute("data-state", "known")


def copied(page: Page) -> str:
    card(page).get_by_role("button", name="Copy as curl").click()
    expect(card(page).locator(".curl-line p")).to_have_text("Copied. Run it in the folder where the photo is.")
    return str(page.evaluate("navigator.clipboard.readText()"))


NAMES = ["cat.jpg", "it's a cat; really.jpg", 'a "cat", $HOME `x`.jpg', "猫 & 狗.jpg", "back\\slash.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_the_copied_command_works_in_a_shell(open_page, pictures, tmp_path: Path, server, name):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    photo = tmp_path / name
    photo.write_bytes(pictures["cat"].read_bytes())
    choose(page, photo)
    set_threshold(page, 0.15)
    command = copied(page)
    assert command.startswith("curl -F ")
    assert command.endswith(f"{server}/predict")
    ran = subprocess.run(["/bin/sh", "-c", f"{command} -sS"], cwd=tmp_path, capture_output=True, check=True, text=True)
    answer = json.loads(ran.stdout)
    assert (answer["mode"], answer["threshold"]) == ("imagenet", 0.15)
    assert "猫" in answer["results"][0]["label_zh"]


def test_without_the_clipboard_a_selection_is_copied(open_page, pictures):
    page = open_page(permissions=["clipboard-read"])
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    choose(page, pictures["cat"])
    card(page).get_by_role("button", name="Copy as curl").click()
    expect(card(page).locator(".curl-line p")).to_contain_text("Copied")
    expect(card(page).get_by_label("The command")).to_be_hidden()


def test_where_no_way_of_copying_works_the_command_stands_selected(open_page, pictures):
    page = open_page()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("document.execCommand = () => false")
    choose(page, pictures["cat"])
    card(page).get_by_role("button", name="Copy as curl").click()
    expect(card(page).locator(".curl-line [role=status]")).to_contain_text("is selected")
    field = card(page).get_by_label("The command")
    expect(field).to_be_focused()
    assert field.evaluate("(one) => one.value.slice(one.selectionStart, one.selectionEnd)").startswith("curl -F ")
    assert violations(page) == []
