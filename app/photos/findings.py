"""What an examination says of the photos, in both languages."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, said in both languages, with the photos that it is about.

    `kind`: unreadable, tiny, exact_duplicate, near_duplicate, leak, conflict, too_few or imbalance.
    """

    kind: str
    sentence_en: str
    sentence_zh: str
    paths: tuple[Path, ...] = ()


def finding(kind: str, en: str, zh: str, paths: Iterable[Path] = (), **values: object) -> Finding:
    """A finding from two templates: `{n}` photos, `{photos}` ("1 photo", "2 photos"), `{names}` of the first few."""
    every = tuple(dict.fromkeys(paths))
    shown = [f"{path.parent.name}/{path.name}" for path in every[:_NAMES_SHOWN]]
    names = ", ".join(shown) + (", …" if len(every) > _NAMES_SHOWN else "")
    known = {"n": len(every), "photos": f"{len(every)} photo{'' if len(every) == 1 else 's'}", **values}
    return Finding(kind, en.format(**known, names=names), zh.format(**known, names=names), every)
