"""Who may change something."""

import pytest
from flask import Flask

from app.config import Settings
from app.errors import Forbidden
from app.web import login_session
from app.web.guard import check_admin


def may(headers: dict[str, str] | None = None, address: str = "127.0.0.1", **settings: object) -> bool:
    app = Flask("guarded")
    app.extensions["settings"] = Settings(**settings)
    login_session.init_app(app, app.extensions["settings"])
    with app.test_request_context("/api/modes", headers=headers or {}, environ_base={"REMOTE_ADDR": address}):
        try:
            check_admin()
        except Forbidden:
            return False
    return True


def test_without_a_token_or_the_loopback_setting_it_is_closed_even_to_this_machine() -> None:
    assert not may()
    assert not may({"Authorization": "Bearer "})
    assert not may({"Authorization": "Bearer None"})


@pytest.mark.parametrize(
    ("header", "allowed"),
    [("Bearer secret", True), ("bearer secret", True), ("Bearer secret2", False), ("Bearer ", False),
     ("Basic secret", False), ("secret", False), ("Bearer sécret", False)],
)  # fmt: skip
def test_the_token_opens_it_from_anywhere_and_nothing_else_does(header: str, allowed: bool) -> None:
    assert may({"Authorization": header.encode().decode("latin-1")}, "203.0.113.9", admin_token="secret") is allowed


@pytest.mark.parametrize(("address", "allowed"), [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("", False)])
def test_the_loopback_setting_opens_it_to_this_machine_only(address: str, allowed: bool) -> None:
    assert may(address=address, admin_loopback=True) is allowed


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [({"Host": "127.0.0.1:8000"}, True), ({"Host": "[::1]:8000"}, True), ({"Host": "localhost"}, True),
     ({"Host": "rebound.example"}, False), ({"Host": "127.0.0.1.rebound.example"}, False), ({"Host": "[bad"}, False),
     ({"X-Forwarded-For": "203.0.113.9"}, False), ({"Forwarded": "for=203.0.113.9"}, False)],
)  # fmt: skip
def test_neither_a_name_pointed_at_this_machine_nor_a_proxy_on_it_gets_in(
    headers: dict[str, str], allowed: bool
) -> None:
    assert may(headers, admin_loopback=True) is allowed


def test_a_page_of_another_site_does_not_get_in_through_this_machines_browser() -> None:
    assert may({"Sec-Fetch-Site": "same-origin"}, admin_loopback=True)
    assert not may({"Sec-Fetch-Site": "cross-site"}, admin_loopback=True)
    assert not may({"Sec-Fetch-Site": "same-site"}, admin_loopback=True)
