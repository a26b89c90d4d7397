"""The names of things, in English and Chinese: ImageNet's 1000, and the labels file beside a user's checkpoint."""

import csv
import json
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.errors import ModelError

_FOLDER = Path(__file__).resolve().parent
_LABEL_KEYS = ("label", "en", "name")
_ZH_KEYS = ("label_zh", "zh", "name_zh")


@dataclass(frozen=True, slots=True)
class Label:
    """One class: the field's own name, a clear English name, the Chinese name, and its group where there is one."""

    label: str
    label_short: str
    label_zh: str
    group: str | None = None
    group_zh: str | None = None


@cache
def imagenet_labels() -> tuple[Label, ...]:
    """The 1000 classes of ImageNet in torchvision's order."""
    with (_FOLDER / "groups.csv").open(encoding="utf-8", newline="") as file:
        groups = {row["group"]: row for row in csv.DictReader(file)}
    with (_FOLDER / "imagenet.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Label(
                label=row["label"],
                label_short=row["label_short"] or row["label"],
                label_zh=row["label_zh"],
                group=groups[row["group"]]["en"],
                group_zh=groups[row["group"]]["zh"],
            )
            for row in csv.DictReader(file)
        )


def plain_label(label: str, label_zh: str | None = None) -> Label:
    """A user's own class; without a Chinese name the one given stands in both languages."""
    return Label(label=label, label_short=label, label_zh=label_zh or label)


def visible_name(text: str) -> str:
    """A name as typed, without what cannot be seen: one line, single spaces."""
    spaced = "".join(" " if character.isspace() else character for character in unicodedata.normalize("NFC", text))
    visible = "".join(character for character in spaced if not unicodedata.category(character).startswith("C"))
    return " ".join(visible.split())


def read_labels(path: Path) -> tuple[Label, ...]:
    """The labels file beside a checkpoint, in class order.

    `.txt`: one class a line, `label` or `label<TAB>中文`. `.json`: `["cat", …]`, `[{"label", "label_zh"}, …]`,
    `{"0": "cat", …}`, or torchvision's `class_to_idx`, `{"cat": 0, …}`.

    Raises:
        ModelError: the file cannot be understood, or names a class twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        labels = _from_json(json.loads(text)) if path.suffix == ".json" else _from_lines(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"the labels file {path.name} cannot be read: {error}") from error
    names = [label.label for label in labels]
    if not names or not all(names):
        raise ModelError(f"the labels file {path.name} is empty or has an empty label")
    if len(set(names)) != len(names):
        raise ModelError(f"the labels file {path.name} names a class twice")
    return labels


def _from_lines(text: str) -> tuple[Label, ...]:
    rows = [[part.strip() for part in line.split("\t")] for line in text.splitlines() if line.strip()]
    return tuple(plain_label(row[0], row[1] if len(row) > 1 else None) for row in rows)


def _from_json(content: object) -> tuple[Label, ...]:
    if isinstance(content, dict) and isinstance(content.get("labels"), list):
        content = content["labels"]
    if isinstance(content, dict):
        content = _in_index_order(content)
    if not isinstance(content, list):
        raise ModelError("a labels file must hold a list of names, or names by index")
    return tuple(_one(entry) for entry in content)


def _in_index_order(content: dict[str, object]) -> list[object]:
    """`{"0": name}` or `{name: 0}` as a list; every index from 0 on must be there."""
    pairs: dict[int, object] = {}
    for key, value in content.items():
        if isinstance(value, int) and not isinstance(value, bool):
            pairs[value] = key
        elif key.isdecimal():
            pairs[int(key)] = value
    if sorted(pairs) != list(range(len(content))):
        raise ModelError("the labels file must number its classes 0, 1, 2, … without a gap")
    return [pairs[index] for index in range(len(pairs))]


def _one(entry: object) -> Label:
    if isinstance(entry, str):
        return plain_label(entry.strip())
    if isinstance(entry, dict):
        label = next((entry[key] for key in _LABEL_KEYS if isinstance(entry.get(key), str)), None)
        label_zh = next((entry[key] for key in _ZH_KEYS if isinstance(entry.get(key), str)), None)
        if label or label_zh:
            return plain_label(label or label_zh or "", label_zh)
    raise ModelError(f"the labels file has an entry that is no name: {str(entry)[:40]}")
