"""Who may change something: whoever has the administrator's token, is logged in, or works on this machine."""

import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from flask import current_app, request

from app.config import Settings
from app.errors import Forbidden
from app.web import login_session

_SCHEME = "bearer "
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

Way = Literal["token", "session", "loopback"]


def check_admin() -> None:
    """Let the current request pass, or not. Blueprints of `/api` have it as their `before_request`.

    Raises:
        Forbidden: it has no right token, no session, and does not come from the loopback address with ADMIN_LOOPBACK=1.
        StalePage: it changes something in the name of a session, and does not carry that session's own token.
    """
    way = way_in()
    if way is None:
        raise Forbidden
    if way == "session" and request.method not in _SAFE_METHODS and not login_session.sent_by_our_page():
        raise login_session.StalePage


def way_in() -> Way | None:
    """By what right the current request comes in; None: by none."""
    settings: Settings = current_app.extensions["settings"]
    ways: dict[Way, Callable[[], bool]] = {
        "loopback": lambda: (
            settings.admin_loopback and _is_loopback(request.remote_addr) and _is_meant_for_this_machine()
        ),
        "token": lambda: is_token(_bearer()),
        "session": lambda: login_session.is_open() and not is_from_another_site(),
    }
    return next((way for way, is_open in ways.items() if is_open()), None)


def can_be_opened() -> bool:
    """Whether there is a token to log in with."""
    settings: Settings = current_app.extensions["settings"]
    return settings.admin_token is not None


def is_token(given: str) -> bool:
    """Whether this is the administrator's token; never, where none is set."""
    settings: Settings = current_app.extensions["settings"]
    token = settings.admin_token.get_secret_value() if settings.admin_token else ""
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def who() -> str:
    """Who this is, for the history."""
    return f"the administrator, from {request.remote_addr or 'nowhere'}"


def is_from_another_site() -> bool:
    """Whether a page of another site made this browser ask; every browser of today says so."""
    return request.headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site")


def _is_meant_for_this_machine() -> bool:
    """Whether the client itself asked this machine by a name that is only its own.

    A page of another site may have its name point here for a moment (DNS rebinding), and then counts as ours with the
    browser; what a proxy on this machine hands on comes from anybody.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    is_handed_on = any(name in request.headers for name in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via"))
    return (host == "localhost" or _is_loopback(host)) and not is_handed_on and not is_from_another_site()


def _bearer() -> str:
    given = request.headers.get("Authorization", "")
    return given[len(_SCHEME) :] if given[: len(_SCHEME)].lower() == _SCHEME else ""


def _is_loopback(address: str | None) -> bool:
    try:
        return bool(address) and ip_address(str(address)).is_loopback
    except ValueError:
        return False
