"""Who may change something: whoever has the administrator's token, or works on this machine where that is allowed."""

import hmac
from ipaddress import ip_address

from flask import current_app, request

from app.config import Settings
from app.errors import Forbidden

_SCHEME = "bearer "


def check_admin() -> None:
    """Let the current request pass, or not. Blueprints of `/api` have it as their `before_request`.

    Raises:
        Forbidden: it has no right token, and does not come from the loopback address with ADMIN_LOOPBACK=1.
    """
    settings: Settings = current_app.extensions["settings"]
    if settings.admin_loopback and _is_loopback(request.remote_addr) and not _is_from_another_site():
        return
    given = request.headers.get("Authorization", "")
    token = settings.admin_token.get_secret_value() if settings.admin_token else ""
    is_bearer = given[: len(_SCHEME)].lower() == _SCHEME
    if not token or not is_bearer or not hmac.compare_digest(given[len(_SCHEME) :].encode(), token.encode()):
        raise Forbidden


def who() -> str:
    """Who this is, for the history."""
    return f"the administrator, from {request.remote_addr or 'nowhere'}"


def _is_from_another_site() -> bool:
    """Whether a page of another site made this machine's browser ask; every browser says so."""
    return request.headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site")


def _is_loopback(address: str | None) -> bool:
    try:
        return bool(address) and ip_address(str(address)).is_loopback
    except ValueError:
        return False
