"""`/login` and `/logout`: a browser's way to the places that need the administrator's token."""

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request

from app.errors import Forbidden
from app.web import login_session
from app.web.guard import can_be_opened, is_from_another_site, is_token, way_in
from app.web.limits import check_logins

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def form() -> Any:  # noqa: ANN401 - Flask's redirect is werkzeug's response
    """The form; or, where no token is configured, how to configure one; or on, for who is in already."""
    if way_in() is not None:
        return redirect(_next())
    return _page()


@blueprint.post("/login")
def log_in() -> Any:  # noqa: ANN401
    """Take the token, and hand out the cookie."""
    if is_from_another_site():
        raise Forbidden
    check_logins()
    if not is_token(request.form.get("token", "")):
        return _page(wrong=True)
    login_session.begin()
    return redirect(_next(), 303)


@blueprint.post("/logout")
def log_out() -> Any:  # noqa: ANN401
    """Take the cookie back."""
    if login_session.is_open() and not login_session.sent_by_our_page():
        raise Forbidden
    login_session.end()
    return redirect("/", 303)


def _page(*, wrong: bool = False) -> Response:
    html = render_template("login.html", next=_next(), wrong=wrong, is_closed=not can_be_opened())
    response = make_response(html, 403 if wrong else 200)
    response.cache_control.no_store = True
    return response


def _next() -> str:
    """Where to go afterwards: a place of this site, whatever was asked for."""
    wish = request.values.get("next", "")
    parts = urlsplit(wish)
    is_ours = wish.startswith("/") and not wish.startswith("//") and "\\" not in wish and not parts.netloc
    return wish if is_ours and wish.isprintable() else "/teach"
