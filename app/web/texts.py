"""Every sentence of the pages, in both languages."""

import json
from functools import cache
from pathlib import Path

from app.errors import PublicError

_FOLDER = Path(__file__).with_name("texts")
COMMON = "common"

Texts = dict[str, dict[str, str]]


@cache
def all_texts() -> Texts:
    """Each key's sentence in each language, from every file of `texts/`."""
    return {key: sentences for path in sorted(_FOLDER.glob("*.json")) for key, sentences in _read(path.stem).items()}


@cache
def texts_for(place: str) -> Texts:
    """What the script of a place needs: the common sentences, and the place's own (`texts/<place>.json`)."""
    return {**_read(COMMON), **_read(place)}


def say(key: str, language: str, **values: object) -> str:
    """The sentence `key` in `language`, with `{name}` filled from `values`."""
    return all_texts()[key][language].format(**values)


@cache
def error_sentences() -> Texts:
    """The sentence of each public error by its code, so that the page can say an answer's error in either language."""
    sentences = {}
    families: list[type[PublicError]] = [PublicError]
    while families:
        family = families.pop(0)
        families.extend(family.__subclasses__())
        if "code" in vars(family) and hasattr(family, "sentence_en"):
            sentences[family.code] = {"en": family.sentence_en, "zh": family.sentence_zh}
    return sentences


def _read(name: str) -> Texts:
    texts: Texts = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return texts
