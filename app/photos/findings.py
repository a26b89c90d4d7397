"""What an examination says of the photos, in both languages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

_NAMES_SHOWN = 3

Language = Literal["en", "zh"]
Naming = Callable[[Sequence[Path], Language], str]
"""How photos are named in a sentence: by their files, or otherwise where files say nothing to the reader."""


class Both(NamedTuple):
    """A value that reads otherwise in each language, such as the name of a class."""

    en: str
    zh: str


def file_names(paths: Sequence[Path], _: Language) -> str:
    """Folder and name of the first few."""
    shown = [f"{path.parent.name}/{path.name}" for path in paths[:_NAMES_SHOWN]]
    return ", ".join(shown) + (", …" if len(paths) > _NAMES_SHOWN else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, with the photos that it is about; `en`, `zh` and `values` make the sentences.

    `kind`: unreadable, tiny, blurred, exact_duplicate, near_duplicate, leak, conflict, too_few or imbalance.
    """

    kind: str
    en: str
    zh: str
    paths: tuple[Path, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence_en(self) -> str:
        """What was found, in English; photos are named by their files."""
        return self.sentence("en")

    @property
    def sentence_zh(self) -> str:
        """The same in Chinese."""
        return self.sentence("zh")

    def sentence(self, language: Language, naming: Naming = file_names) -> str:
        """What was found, in `language`."""
        count = len(self.paths)
        known: dict[str, object] = {"n": count, "photos": f"{count} photo{'' if count == 1 else 's'}"}
        known["names"] = naming(self.paths, language)
        for name, value in self.values.items():
            known[name] = getattr(value, language) if isinstance(value, Both) else value
        return (self.zh if language == "zh" else self.en).format(**known)


def finding(kind: str, en: str, zh: str, paths: Iterable[Path] = (), **values: object) -> Finding:
    """A finding from two templates: `{n}` photos, `{photos}` ("1 photo", "2 photos"), `{names}` of the first few."""
    return Finding(kind, en, zh, tuple(dict.fromkeys(paths)), values)
