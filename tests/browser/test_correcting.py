""" "Not right?": the right name is given, changed and taken back, by anybody, and a photo is kept only with consent."""

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Locator, Page, expect

from app.feedback.retention import delete_everything
from app.feedback.tables import Correction
from tests.browser.steps import card, choose
from tests.browser.test_everyone import PHONE, violations
from tests.feedback.sending import files, rows

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _no_corrections(application: Flask) -> None:
    settings = application.extensions["settings"]
    delete_everything(application.extensions["database"], settings.models_dir)


@pytest.fixture
def keeping(application: Flask) -> Iterator[None]:
    """The server keeps pictures, for 30 days."""
    settings = application.extensions["settings"]
    changes = {"keep_images": True, "retention_days": 30}
    application.extensions["settings"] = settings.model_copy(update=changes)
    yield
    application.extensions["settings"] = settings


@pytest.fixture
def stored(application: Flask):
    """What the database holds now."""

    def read() -> list[Correction]:
        return rows(application.extensions["database"])

    return read


def ask(page: Page, words: str = "Not right?") -> Locator:
    """Open the question under the first answer; its form."""
    card(page).locator("summary", has_text=words).click()
    return card(page).locator(".correction form")


def test_a_name_of_the_mode_is_suggested_and_sent(open_page, pictures, stored):
    page = open_page()
    choose(page, pictures["cat"])
    form = ask(page)
    expect(page.locator("datalist option")).to_have_count(1000)
    field = form.get_by_label("What is it?")
    suggested = page.locator(f"datalist#{field.get_attribute('list')} option").evaluate_all(
        "all => all.map(o => o.value)"
    )
    assert "construction crane" in suggested
    field.fill("tabby cat")
    form.get_by_role("button", name="Send").click()
    expect(card(page).locator(".said")).to_have_text("Thank you. Noted: tabby cat.")
    expect(form).to_be_hidden()
    (row,) = stored()
    assert (row.mode, row.kind, row.label, row.status, row.picture) == ("imagenet", "label", "tabby", "pending", None)
    assert row.answer in ("tiger cat", "Egyptian cat", "tabby")
    assert row.version
    assert row.confidence > 0.2


def test_a_changed_mind_replaces_what_was_said_and_taking_it_back_forgets_it(open_page, pictures, stored):
    page = open_page()
    choose(page, pictures["cat"])
    form = ask(page)
    form.get_by_label("What is it?").fill("my cat Momo")
    page.keyboard.press("Enter")
    expect(card(page).locator(".said")).to_have_text("Thank you. Noted as a new name: my cat Momo.")
    page.get_by_role("button", name="Change").click()
    expect(form.get_by_label("What is it?")).to_be_focused()
    form.get_by_role("button", name="None of these").click()
    expect(card(page).locator(".said")).to_have_text("Thank you. Noted: none of these.")
    assert [row.kind for row in stored()] == ["none"]
    page.get_by_role("button", name="Take it back").click()
    expect(card(page).locator(".said")).to_have_text("Taken back. Nothing of it is kept.")
    expect(card(page).locator("summary")).to_be_focused()
    assert stored() == []


def test_a_server_that_keeps_no_pictures_does_not_ask_for_one(open_page, pictures):
    page = open_page()
    choose(page, pictures["cat"])
    ask(page)
    expect(card(page).get_by_role("checkbox")).to_have_count(0)
    expect(page.locator(".foot")).to_contain_text("they are not stored")


def test_consent_is_asked_in_plain_words_and_never_assumed(open_page, pictures, stored, keeping, application):
    page = open_page()
    expect(page.locator(".foot")).to_contain_text("kept only where you agree")
    choose(page, pictures["cat"])
    form = ask(page)
    consent = form.get_by_role("checkbox", name="Let this server keep a smaller copy of this photo")
    expect(consent).not_to_be_checked()
    expect(form).to_contain_text("deleted after 30 days")
    form.get_by_label("What is it?").fill("tabby cat")
    form.get_by_role("button", name="Send").click()
    expect(card(page).locator(".said")).to_have_text("Thank you. Noted: tabby cat. The photo is not kept.")
    models = application.extensions["settings"].models_dir
    assert files(models) == []
    page.get_by_role("button", name="Change").click()
    consent.check()
    form.get_by_role("button", name="Send").click()
    expect(card(page).locator(".said")).to_contain_text("A copy of the photo is kept.")
    assert [path.stem for path in files(models)] == [row.picture for row in stored()]
    page.get_by_role("button", name="Take it back").click()
    expect(card(page).locator(".said")).to_contain_text("Taken back")
    assert files(models) == []


def test_it_all_works_from_the_keyboard(open_page, pictures, stored):
    page = open_page()
    choose(page, pictures["cat"])
    card(page).locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("a kitten")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Change")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card(page).locator(".said[role=status]")).to_have_text("Taken back. Nothing of it is kept.")


def test_the_language_switch_takes_the_correction_along(open_page, pictures, stored):
    page = open_page()
    choose(page, pictures["cat"])
    form = ask(page)
    page.get_by_role("link", name="中文").click()
    expect(card(page).locator("summary")).to_have_text("不对？")
    form.get_by_label("应该是什么？").fill("虎斑猫")
    form.get_by_role("button", name="提交").click()
    expect(card(page).locator(".said")).to_have_text("谢谢，已记下：虎斑猫。")
    page.get_by_role("link", name="English").click()
    expect(card(page).locator(".said")).to_have_text("Thank you. Noted: tabby cat.")
    assert [row.label for row in stored()] == ["tabby"]


def test_another_mode_s_answer_is_asked_about_anew(open_page, pictures, stored):
    page = open_page()
    choose(page, pictures["cat"])
    ask(page).get_by_label("What is it?").fill("tabby cat")
    page.keyboard.press("Enter")
    expect(card(page).locator(".said")).not_to_be_empty()
    page.get_by_label("Mode", exact=True).select_option("fruit")
    expect(card(page).locator(".guess-name").first).to_have_text("apple")
    expect(card(page).locator(".said")).to_be_hidden()
    form = ask(page)
    expect(form.get_by_label("What is it?")).to_have_value("")
    form.get_by_label("What is it?").fill("banana")
    page.keyboard.press("Enter")
    expect(card(page).locator(".said")).to_contain_text("banana")
    assert [(row.mode, row.label) for row in stored()] == [("imagenet", "tabby"), ("fruit", "banana")]


def test_what_cannot_be_saved_is_said_and_may_be_sent_again(open_page, pictures, stored):
    page = open_page(failing="/corrections")
    choose(page, pictures["cat"])
    form = ask(page)
    page.route("**/corrections", lambda route: route.fulfill(status=507, json={"code": "storage_full", "detail": "…"}))
    form.get_by_label("What is it?").fill("tabby cat")
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("alert")).to_have_text("This could not be saved: the server's disk is full.")
    page.unroute("**/corrections")
    form.get_by_role("button", name="Send").click()
    expect(card(page).locator(".said")).to_contain_text("Thank you")
    page.route("**/corrections/*/undo", lambda route: route.abort())
    page.get_by_role("button", name="Take it back").click()
    expect(form.get_by_role("alert")).to_contain_text("did not answer")
    assert len(stored()) == 1


def test_without_javascript_a_small_form_does_it(open_page, pictures, stored, keeping, application):
    page = open_page(java_script_enabled=False)
    page.set_input_files("#choose", [str(pictures["bad"]), str(pictures["cat"])])
    page.get_by_role("button", name="Recognise").click()
    expect(page.locator(".correction")).to_have_count(1)
    form = page.locator(".correction form")
    page.locator("summary").click()
    form.get_by_label("What is it?").fill("tabby cat")
    form.get_by_role("checkbox").check()
    form.get_by_label("choose the photo again").set_input_files(str(pictures["cat"]))
    form.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your correction")
    expect(page.locator(".lede")).to_contain_text("Noted: tabby cat. A copy of the photo is kept.")
    assert [(row.place, row.label, row.picture is not None) for row in stored()] == [(1, "tabby", True)]
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Taken back")
    assert stored() == []
    assert files(application.extensions["settings"].models_dir) == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize(
    "options", [{"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"]
)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(open_page, pictures, keeping, options, locale):
    page = open_page(locale=locale, reduced_motion="reduce", **options)
    choose(page, pictures["cat"], pictures["coffee"])
    for place in range(2):
        card(page, place).locator("summary").click()
    expect(page.locator("datalist option")).to_have_count(1000)
    found = [("open", violations(page))]
    page.locator("input[type=text]").first.fill("Momo")
    page.keyboard.press("Enter")
    expect(card(page).locator(".said")).not_to_be_empty()
    found.append(("thanked", violations(page)))
    assert [(state, names) for state, names in found if names] == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    for target in page.locator(".correction :is(button, summary, input):visible").all():
        assert target.bounding_box()["height"] >= 24 or target.get_attribute("type") == "checkbox"
