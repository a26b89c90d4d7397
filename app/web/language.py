"""Which language a request wants."""

from flask import request

LANGUAGES = ("en", "zh")
COOKIE = "lang"


def language() -> str:
    """ "zh" or "en": the `lang` parameter, then the cookie of the page's switch, then `Accept-Language`."""
    for wish in (request.values.get("lang"), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return wish
    for tag, _ in request.accept_languages:
        primary = tag.lower().replace("_", "-").split("-")[0]
        if primary in LANGUAGES:
            return primary
    return "en"
