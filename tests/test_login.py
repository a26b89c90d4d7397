"""Being logged in: the page, the cookie, and what another site cannot do with it."""

import re
import time
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from app.web import limits, login_session

TOKEN = "a token for these tests"
HTML = {"Accept": "text/html"}


@pytest.fixture
def open_as(service: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlaskClient]:
    """A browser before a server that was started with these settings."""

    def opened(**settings: object) -> FlaskClient:
        changed = service.extensions["settings"].model_copy(update=settings)
        monkeypatch.setitem(service.extensions, "settings", changed)
        monkeypatch.setitem(service.config, "SECRET_KEY", None)
        login_session.init_app(service, changed)
        limits.init_app(service, changed)
        return service.test_client()

    return opened


@pytest.fixture
def client(open_as: Callable[..., FlaskClient]) -> FlaskClient:
    return open_as(admin_token=SecretStr(TOKEN))


def log_in(client: FlaskClient, token: str = TOKEN, **values: str):
    return client.post("/login", data={"token": token, **values}, headers=HTML)


def csrf(client: FlaskClient) -> str:
    return re.search(r'"csrf": "([^"]+)"', client.get("/teach").text).group(1)


@pytest.mark.parametrize("path", ["/teach", "/teach/ants", "/review", "/models", "/models/ants"])
def test_the_places_ask_who_is_there_and_lead_back(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.location == f"/login?next={path}"
    assert log_in(client, next=path).location == path
    assert client.get(path).status_code == 200


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(client):
    cookie = log_in(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    secure = client.post("/login", data={"token": TOKEN}, base_url="https://localhost").headers["Set-Cookie"]
    assert "Secure" in secure


def test_a_wrong_token_is_told_and_opens_nothing(client):
    answer = log_in(client, "wrong")
    assert answer.status_code == 403
    assert "not the token" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert client.get("/teach").status_code == 302


def test_guessing_is_slowed_down(client):
    statuses = [log_in(client, f"guess {number}").status_code for number in range(11)]
    assert statuses == [403] * 10 + [429]


def test_a_change_needs_the_page_s_own_token_and_reading_does_not(client):
    log_in(client)
    assert client.get("/api/modes").status_code == 200
    refused = client.post("/api/modes/nowhere/rollback")
    assert (refused.status_code, refused.json["code"]) == (403, "stale_page")
    wrong = client.post("/api/modes/nowhere/rollback", headers={"X-CSRF-Token": "another"})
    assert wrong.json["code"] == "stale_page"
    allowed = client.post("/api/modes/nowhere/rollback", headers={"X-CSRF-Token": csrf(client)})
    assert allowed.json["code"] == "unknown_mode"


def test_another_site_gets_nothing_through_a_browser_that_is_logged_in(client):
    log_in(client)
    assert client.get("/api/modes", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    elsewhere = {"Sec-Fetch-Site": "cross-site", **HTML}
    assert client.post("/login", data={"token": TOKEN}, headers=elsewhere).status_code == 403


def test_logging_out_needs_the_token_of_the_page_and_ends_the_session(client):
    log_in(client)
    assert client.post("/logout").status_code == 403
    client.post("/logout", data={"csrf": csrf(client)})
    assert client.get("/teach").status_code == 302


def test_a_forged_cookie_and_one_of_another_token_are_worth_nothing(client, open_as):
    log_in(client)
    cookie = client.get_cookie("admin").value
    other = open_as(admin_token=SecretStr("another"))
    for value in (cookie, cookie[:-2] + "xx", "eyJjc3JmIjoieCJ9.aaaa.bbbb"):
        other.set_cookie("admin", value)
        assert other.get("/api/modes").status_code == 403


@pytest.mark.parametrize(
    "elsewhere", ["https://example.org/", "//example.org", "/\\example.org", "javascript:x", "", "/a\nb"]
)
def test_the_login_leads_to_no_other_site(client, elsewhere):
    assert log_in(client, next=elsewhere).location == "/teach"


@pytest.mark.parametrize(("language", "words"), [("en", "This part is closed"), ("zh", "尚未开放")])
def test_without_a_token_the_page_says_what_to_do(open_as, language, words):
    client = open_as()
    page = client.get("/teach", follow_redirects=True, headers={"Accept-Language": language}).text
    assert words in page
    assert "ADMIN_LOOPBACK=1 make run" in page
    assert client.post("/login", data={"token": ""}).status_code == 403


def test_on_this_machine_no_login_is_needed_where_that_is_allowed(open_as):
    client = open_as(admin_loopback=True)
    assert client.get("/teach").status_code == 200
    assert client.get("/login").location == "/teach"


def test_a_clock_set_back_ends_no_session_and_one_set_on_by_days_does(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(client)
    now = time.time()
    for step, is_in in ((-3600, True), (3600, True), (13 * 3600, False), (-13 * 3600, False)):
        monkeypatch.setattr(time, "time", lambda step=step: now + step)
        assert (client.get("/teach").status_code == 200) is is_in, step
