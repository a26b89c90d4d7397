"""Being logged in, kept in one signed cookie: nothing is stored here, and another token logs everybody out."""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from app.config import Settings
from app.errors import Forbidden

COOKIE = "admin"
LASTS = timedelta(hours=12)
HEADER, FIELD = "X-CSRF-Token", "csrf"
_NONCE = "csrf"


class StalePage(Forbidden):
    """A change that does not carry the session's own token."""

    code = "stale_page"
    sentence_en = "This page is out of date, and nothing was changed: reload it and try again."
    sentence_zh = "页面已过期，未作任何更改，请刷新后重试。"


class _Signer(TimestampSigner):
    """Takes a signature from the future: it is ours, so the clock has been set back since."""

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:  # noqa: ANN401
        """What was signed, at most `max_age` seconds from now by the clock, either way."""
        value, signed = super().unsign(signed_value, None, True)
        if max_age is not None and abs(self.get_timestamp() - signed.timestamp()) > max_age:
            raise SignatureExpired("too old", payload=value, date_signed=signed)
        return (value, signed) if return_timestamp else value


class _Cookies(SecureCookieSessionInterface):
    """Over https the cookie goes over https only."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs the cookie."""
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = _Signer
        return serializer

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the current request came over https."""
        return request.is_secure


def init_app(app: Flask, settings: Settings) -> None:
    """Sign the cookie with a key that only the token gives; without a token nobody can log in."""
    if settings.admin_token is not None:
        token = settings.admin_token.get_secret_value().encode()
        app.secret_key = hmac.digest(token, b"wanwu login", hashlib.sha256)
    app.session_interface = _Cookies()
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=LASTS,
        SESSION_REFRESH_EACH_REQUEST=False,
    )


def begin() -> None:
    """Log the current browser in."""
    session.clear()
    session[_NONCE] = secrets.token_urlsafe(16)
    session.permanent = True


def end() -> None:
    """Log it out."""
    session.clear()


def is_open() -> bool:
    """Whether the current request comes from a browser that is logged in."""
    return bool(session.get(_NONCE))


def csrf_token() -> str:
    """What our own pages send along with every change; "" where nobody is logged in."""
    return str(session.get(_NONCE, ""))


def sent_by_our_page() -> bool:
    """Whether the request carries the session's token, in a header or a form's field: no other site can know it."""
    given = request.headers.get(HEADER) or request.form.get(FIELD, "")
    return hmac.compare_digest(given.encode(), csrf_token().encode()) and is_open()
