"""The way in for whoever has the token, the way out, and what is said to everybody else."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TOKEN
from tests.browser.test_everyone import PHONE, violations

pytestmark = pytest.mark.browser

LOCALES = {"en-GB": ("Log in", "Administrator’s token"), "zh-CN": ("登录", "管理员令牌")}


@pytest.fixture(autouse=True)
def _no_guesses_yet(locked_application) -> None:
    """Forget the attempts of the tests before, which count together."""
    from app.web import limits

    limits.init_app(locked_application, locked_application.extensions["settings"])


def log_in(page: Page, token: str = TOKEN) -> None:
    page.get_by_label("Administrator’s token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_a_place_asks_for_the_token_and_leads_on_to_where_one_wanted_to_go(open_locked):
    page = open_locked("/review", failing="/login")
    assert page.url.endswith("/login?next=/review")
    expect(page.get_by_label("Administrator’s token")).to_be_focused()
    log_in(page, "a guess")
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    expect(page.get_by_label("Administrator’s token")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Administrator’s token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Review")
    assert page.url.endswith("/review")


def test_logging_out_closes_the_places_and_leaves_the_first_page_open(open_locked):
    page = open_locked("/review")
    log_in(page)
    page.wait_for_load_state("networkidle")  # what the page has asked for would be refused, and say so in the console
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What is this?")
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)
    page.get_by_role("link", name="Review").click()
    expect(page.get_by_label("Administrator’s token")).to_be_visible()


def test_a_session_that_ends_while_the_page_is_open_says_so_and_shows_the_way_in(open_locked, locked_application):
    from tests.browser.corrections import correct, forget_corrections

    forget_corrections(locked_application)
    correct(locked_application, [], ["banana", "apple"])
    page = open_locked("/review", failing="/api/")
    log_in(page)
    expect(page.locator(".entry-cell").first).to_be_focused()
    page.context.clear_cookies()
    page.keyboard.press("a")
    expect(page.locator("#notice")).to_contain_text("You have been logged out: log in again.")
    expect(page.locator(".entry").first).to_contain_text("You have been logged out")
    expect(page.locator(".entry")).to_have_count(2)
    page.get_by_role("link", name="Log in").click()
    log_in(page)
    expect(page.locator(".entry")).to_have_count(2)


def test_logged_in_anew_elsewhere_the_old_page_is_out_of_date_and_changes_nothing(open_locked, locked_application):
    from tests.browser.corrections import correct, forget_corrections

    forget_corrections(locked_application)
    correct(locked_application, [], ["banana"])
    page = open_locked("/review", failing="/api/")
    log_in(page)
    expect(page.locator(".entry-cell").first).to_be_focused()
    page.context.clear_cookies()
    other = page.context.new_page()
    other.goto(page.url)
    log_in(other)
    expect(other.locator(".entry")).to_have_count(1)
    page.keyboard.press("a")
    expect(page.locator(".entry").first).to_contain_text("This page is out of date, and nothing was changed")


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_way_in(open_locked, locale, scheme):
    page = open_locked("/teach", locale=locale, color_scheme=scheme, failing="/login")
    heading, label = LOCALES[locale]
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    found = violations(page)
    page.get_by_label(label).fill("a guess")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert found + violations(page) == []


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_a_token_the_places_say_that_they_are_closed_and_how_to_open_them(open_page, locale, scheme):
    page = open_page("/review", locale=locale, color_scheme=scheme)
    closed = {"en-GB": "This part is closed", "zh-CN": "这一部分尚未开放"}
    expect(page.get_by_role("heading", level=1)).to_have_text(closed[locale])
    expect(page.get_by_text("ADMIN_LOOPBACK=1 make run")).to_be_visible()
    expect(page.locator("input")).to_have_count(0)
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390])
def test_the_way_in_fits_a_phone(open_locked, open_page, width):
    for page in (open_locked("/models", **PHONE), open_page("/models", **PHONE)):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
