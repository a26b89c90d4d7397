"""The photos of a class that is to be added: which can be used, and why the others cannot."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import Conflict, RequestError
from app.photos.duplicates import Look, look_of, near_pairs
from app.photos.snapshot import Photo

FEWEST = 5
"""Photos without which no class is begun: from fewer a head learns the photos, not the thing."""
MOST = 64


class ClassExists(Conflict):
    """Takes `mode`, `label`."""

    sentence_en = "The mode {mode} has a class called '{label}' already: to teach it more, train the mode again."
    sentence_zh = "模式 {mode} 已有名为“{label}”的类别；要补充照片，请重新训练该模式。"


class TooFewPhotos(RequestError):
    """Takes `limit`, `count`, and why the others cannot be used in each language: `en`, `zh`."""

    status, code = 422, "too_few_photos"
    sentence_en = "A class needs at least {limit} photos, and {count} of these can be used.{en}"
    sentence_zh = "新增类别至少需要 {limit} 张照片，其中可用的只有 {count} 张。{zh}"


@dataclass(frozen=True, slots=True)
class Given:
    """A photo as it came: its name, its content, and where it lies on this machine, if it does."""

    name: str
    data: bytes
    path: Path | None = None

    @property
    def sha256(self) -> str:
        """Of its content, hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that is not used, and why, in both languages."""

    name: str
    en: str
    zh: str


def usable(
    given: Sequence[Given], known: Sequence[Photo], max_pixels: int
) -> tuple[tuple[Given, ...], tuple[LeftOut, ...]]:
    """The photos to use, and those left out: what cannot be read, what is there twice (also saved again), and what the
    mode has among its photos already, `known`.

    Raises:
        TooFewPhotos: fewer than FEWEST can be used; it says what is wrong with the others.
    """
    holders = {photo.sha256: photo.label for photo in known}
    looks: dict[int, Look] = {}
    wrong: dict[int, LeftOut] = {}
    for place, photo in enumerate(given):
        try:
            looks[place] = look_of(photo.data, max_pixels)
        except RequestError as error:
            wrong[place] = LeftOut(photo.name, error.sentence("en"), error.sentence("zh"))
    wrong |= _repeated(given, looks, holders)
    kept = tuple(photo for place, photo in enumerate(given) if place not in wrong)
    left_out = tuple(wrong[place] for place in sorted(wrong))
    if len(kept) < FEWEST:
        en = "".join(f" {one.name}: {one.en}" for one in left_out)
        zh = "".join(f"{one.name}：{one.zh}" for one in left_out)
        raise TooFewPhotos(limit=FEWEST, count=len(kept), en=en, zh=zh)
    return kept, left_out


def _repeated(given: Sequence[Given], looks: Mapping[int, Look], holders: Mapping[str, str]) -> dict[int, LeftOut]:
    """Of each picture the first counts."""
    wrong: dict[int, LeftOut] = {}
    places = list(looks)
    near = {places[second]: places[first] for first, second in near_pairs([looks[place] for place in places])}
    first_with: dict[str, int] = {}
    for place in places:
        photo, content = given[place], looks[place].content
        if content in holders:
            label = holders[content]
            wrong[place] = LeftOut(
                photo.name, f"The mode knows this photo, as {label}.", f"该模式已有这张照片，属于“{label}”。"
            )
            continue
        twin = first_with.setdefault(content, place)
        twin = near.get(place, twin) if twin == place else twin
        if twin != place:
            name = given[twin].name
            wrong[place] = LeftOut(photo.name, f"It is the same picture as {name}.", f"与 {name} 是同一张图片。")
    return wrong
