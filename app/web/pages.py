"""The page: `GET /` shows it, `POST /` answers its form where there is no JavaScript."""

from typing import Any

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge

from app.config import Settings
from app.errors import Conflict, NotFound, NotReady, NotSaved, PublicError, StorageFull, TooLarge, TooManyPixels
from app.registry.catalog import BASE_MODE
from app.web import login_session
from app.web.arms import caller_id
from app.web.language import COOKIE, LANGUAGES, language
from app.web.openapi import PREDICT_ERRORS
from app.web.predict import answer_request
from app.web.texts import error_sentences, say, texts_for

YEAR_S = 365 * 24 * 3600
SMALL_MODEL = "efficientnet_lite0"
_ERRORS: tuple[type[PublicError], ...] = (*PREDICT_ERRORS, Conflict, NotFound, NotSaved, StorageFull)
"""The errors of recognising and correcting."""

_SURE = 0.99
_SLIGHT = 0.01

MODULES = (
    "ask.js", "card.js", "correction.js", "decision.js", "failure.js", "intake.js", "queue.js", "settings.js",
    "shrink.js", "texts.js", "tools.js",
)  # fmt: skip
"""All that `static/main.js` imports, and what that imports: the browser fetches them at once, not one after another."""

pages = Blueprint("pages", __name__)


@pages.get("/")
def home() -> Response:
    """The page, empty. Where callers are shared out it brings the cookie by which all photos go to one version."""
    if current_app.extensions["recogniser"].manager.splits:
        caller_id()
    return _page()


@pages.post("/")
def answer_form() -> Response:
    """The page with the answers to the form's pictures, or with the sentence that says why there are none."""
    try:
        return _page(answer=answer_request())
    except PublicError as error:
        return _page(error=error)
    except RequestEntityTooLarge:
        return _page(error=TooLarge(limit_mb=_settings().max_upload_mb))


@pages.get("/favicon.ico")
def icon() -> Any:  # noqa: ANN401 - Flask's redirect is werkzeug's response
    """What browsers ask for wherever a page names no icon, such as an answer in JSON."""
    return redirect(url_for("static", filename="icon.svg"))


@pages.app_context_processor
def _in_every_template() -> dict[str, Any]:
    """What every template may use: the language, its sentences, and how to write a share."""
    chosen = language()
    return {
        "language": chosen,
        "say": lambda key, **values: say(key, chosen, **values),
        "percent": percent,
        "version": current_app.config["VERSION"],
        "keeps_images": _settings().keep_images,
        "retention_days": _settings().retention_days,
        "csrf": login_session.csrf_token(),
    }


@pages.after_app_request
def _remember_language(response: Response) -> Response:
    """Keep the choice made by the switch (`?lang=`) in a cookie, and tell caches that a page has two languages."""
    if response.mimetype == "text/html":
        response.vary.update(("Accept-Language", "Cookie"))
        wish = request.args.get("lang")
        if wish in LANGUAGES:
            response.set_cookie(COOKIE, wish, max_age=YEAR_S, samesite="Lax")
    return response


def percent(share: float, threshold: float | None = None) -> str:
    """A share for people: never "100%" unless it is, and never rounded up across the threshold that it missed."""
    if share >= 1:
        return "100%"
    if share > _SURE:
        return ">99%"
    if 0 < share < _SLIGHT:
        return "<1%"
    rounded = int(share * 100 + 0.5)
    if threshold is not None and share < threshold <= rounded / 100:
        return f"{int(share * 1000) / 10:.1f}%"
    return f"{rounded}%"


def _page(answer: dict[str, Any] | None = None, error: PublicError | None = None) -> Response:
    modes = current_app.extensions["recogniser"].modes()
    if not modes:
        raise NotReady(retry_after_s=2)
    wished = answer["mode"] if answer else request.args.get("mode", BASE_MODE)
    html = render_template(
        "index.html",
        modes=modes,
        chosen=next((mode for mode in modes if mode.key == wished), modes[0]),
        small_model=SMALL_MODEL,
        modules=MODULES,
        answer=answer,
        failure=error.sentence(language()) if error else None,
        script_data=_script_data(),
    )
    response = make_response(html, error.status if error else 200)
    response.cache_control.no_cache = True
    if error and error.retry_after_s is not None:
        response.retry_after = error.retry_after_s
    return response


def _script_data() -> dict[str, Any]:
    """What the page's script needs to speak both languages and to know the server's limits."""
    settings = _settings()
    codes = {error.code for error in _ERRORS}
    return {
        "language": language(),
        # Jobs run in the places behind the login, and the first page has to be small.
        "texts": {key: said for key, said in texts_for("recognise").items() if not key.startswith("job_")},
        "errors": {code: said for code, said in error_sentences().items() if code in codes},
        "limits": {"limit_mb": settings.max_upload_mb, **TooManyPixels.in_words(settings.max_pixels)},
        "smallModel": SMALL_MODEL,
    }


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
