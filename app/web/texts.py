"""Every sentence of the pages, in both languages."""

import json
from functools import cache
from pathlib import Path
from typing import cast

from app.errors import PublicError


@cache
def all_texts() -> dict[str, dict[str, str]]:
    """Each key's sentence in each language, from `texts.json`."""
    path = Path(__file__).with_name("texts.json")
    return cast(dict[str, dict[str, str]], json.loads(path.read_text(encoding="utf-8")))


def say(key: str, language: str, **values: object) -> str:
    """The sentence `key` in `language`, with `{name}` filled from `values`."""
    return all_texts()[key][language].format(**values)


@cache
def error_sentences() -> dict[str, dict[str, str]]:
    """The sentence of each public error by its code, so that the page can say an answer's error in either language."""
    sentences = {}
    families: list[type[PublicError]] = [PublicError]
    while families:
        family = families.pop(0)
        families.extend(family.__subclasses__())
        if "code" in vars(family) and hasattr(family, "sentence_en"):
            sentences[family.code] = {"en": family.sentence_en, "zh": family.sentence_zh}
    return sentences
