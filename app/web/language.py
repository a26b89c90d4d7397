"""Which language a request wants."""

from flask import request
from werkzeug.exceptions import HTTPException

LANGUAGES = ("en", "zh")
COOKIE = "lang"


def language() -> str:
    """ "zh" or "en": the `lang` parameter, then the cookie of the page's switch, then `Accept-Language`."""
    for wish in (_asked(), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return wish
    for tag, _ in request.accept_languages:
        primary = tag.lower().replace("_", "-").split("-")[0]
        if primary in LANGUAGES:
            return primary
    return "en"


def _asked() -> str | None:
    try:
        return request.values.get("lang")
    except HTTPException:  # the body that should hold `lang` is itself what failed
        return request.args.get("lang")
