"""The page: `GET /` shows it, `POST /` answers the form where there is no JavaScript."""

from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template, request

from app.errors import PublicError
from app.web.texts import COOKIE, LANGUAGES, Language, all_texts, error_sentences, negotiate, say

YEAR_S = 365 * 24 * 3600
SMALL_MODEL = "efficientnet_lite0"

pages = Blueprint("pages", __name__)


@pages.get("/")
def home() -> Response:
    """The page, empty."""
    return _page()


@pages.post("/")
def answer_form() -> Response:
    """The page with the answers to the form's pictures, or with the sentence that says why there are none."""
    from app.web.predict import answer_request

    try:
        return _page(answer=answer_request())
    except PublicError as error:
        return _page(error=error)


@pages.app_context_processor
def _shared_by_all_templates() -> dict[str, Any]:
    """What every template may use: the language, its sentences, and how to write a share."""
    language = negotiate(request)
    return {
        "language": language,
        "say": lambda key, **values: say(key, language, **values),
        "percent": percent,
        "version": current_app.config["VERSION"],
        "keeps_images": current_app.extensions["settings"].keep_images,
    }


def percent(share: float, threshold: float | None = None) -> str:
    """A share for people: never "100%" unless it is, and never rounded up across the threshold that it missed."""
    if share >= 1:
        return "100%"
    if share > 0.99:  # noqa: PLR2004
        return ">99%"
    if 0 < share < 0.01:  # noqa: PLR2004
        return "<1%"
    rounded = int(share * 100 + 0.5)
    if threshold is not None and share < threshold <= rounded / 100:
        return f"{int(share * 1000) / 10:.1f}%"
    return f"{rounded}%"


def _page(answer: dict[str, Any] | None = None, error: PublicError | None = None) -> Response:
    language = negotiate(request)
    modes = current_app.extensions["recogniser"].modes()
    wished = answer["mode"] if answer else request.args.get("mode")
    html = render_template(
        "index.html",
        modes=modes,
        chosen=next((mode for mode in modes if mode.key == wished), modes[0] if modes else None),
        small_model=SMALL_MODEL,
        answer=answer,
        failure=error.sentence(language) if error else None,
        script_data=_script_data(language),
    )
    response = make_response(html, error.status if error else 200)
    response.cache_control.no_cache = True
    if error and error.retry_after_s is not None:
        response.retry_after = error.retry_after_s
    return response


@pages.after_app_request
def _remember_language(response: Response) -> Response:
    """Keep the choice made by the switch (`?lang=`) in a cookie, and tell caches that a page has two languages."""
    if response.mimetype == "text/html":
        response.vary.update(("Accept-Language", "Cookie"))
        wish = request.args.get("lang")
        if wish in LANGUAGES:
            response.set_cookie(COOKIE, wish, max_age=YEAR_S, samesite="Lax")
    return response


def _script_data(language: Language) -> dict[str, Any]:
    """What the page's script needs to speak both languages and to know the server's limits."""
    settings = current_app.extensions["settings"]
    return {
        "language": language,
        "texts": all_texts(),
        "errors": error_sentences(),
        "limits": {"limit_mb": settings.max_upload_mb, "limit_mp": settings.max_pixels // 1_000_000},
        "smallModel": SMALL_MODEL,
    }
