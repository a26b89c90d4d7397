"""Every sentence of the pages in both languages, and which language a visitor reads."""

import json
from functools import cache
from pathlib import Path
from typing import Literal, cast

from flask import Request

from app.errors import PublicError

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
COOKIE = "lang"


@cache
def all_texts() -> dict[str, dict[Language, str]]:
    """Each key's sentence in each language, from `texts.json`."""
    path = Path(__file__).with_name("texts.json")
    return cast(dict[str, dict[Language, str]], json.loads(path.read_text(encoding="utf-8")))


def say(key: str, language: Language, **values: object) -> str:
    """The sentence `key` in `language`, with `{name}` filled from `values`."""
    return all_texts()[key][language].format(**values)


def negotiate(request: Request) -> Language:
    """The visitor's language: `?lang=`, then the cookie that the switch sets, then what the browser prefers."""
    for wish in (request.args.get("lang"), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return cast(Language, wish)
    for tag in request.accept_languages.values():
        main_tag = tag.lower().replace("_", "-").split("-")[0]
        if main_tag in LANGUAGES:
            return cast(Language, main_tag)
    return "en"


def error_sentences() -> dict[str, dict[Language, str]]:
    """The sentence of each public error by its code, so that the page can say an answer's error in either language."""
    sentences: dict[str, dict[Language, str]] = {}
    families: list[type[PublicError]] = [PublicError]
    while families:
        family = families.pop(0)
        families.extend(family.__subclasses__())
        if "code" in vars(family) and hasattr(family, "sentence_en"):
            sentences[family.code] = {"en": family.sentence_en, "zh": family.sentence_zh}
    return sentences
