"""List files: a picture's path and its label a line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from app.errors import DataError, ModelError
from app.photos.files import SUFFIXES
from app.vision.labels import Label, plain_label, read_labels

CLASSES = "classes.txt"
_ENDING = "|".join(sorted(suffix.removeprefix(".") for suffix in SUFFIXES))
_LINE = re.compile(rf"(?P<path>.+?\.(?:{_ENDING}))[\"']?\s*[\s,]\s*(?P<label>\S.*)", re.IGNORECASE)
"""Spaces may stand in the path and in the label: a picture's ending divides them."""


_Part = TypeVar("_Part", bound=str)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: where the picture should be, its label as written, and where this was said."""

    path: Path
    label: str
    origin: str


def read_list(path: Path, *, inside: Path | None = None) -> list[Line]:
    """The lines of a list; paths are relative to its folder.

    `inside`: the pictures must lie in this folder, for a list that somebody else wrote.

    Raises:
        DataError: a line holds no path and label, names a file outside, or no file named is there.
    """
    lines = [
        _read_line(text.strip(), path, number, inside)
        for number, text in enumerate(_text(path).splitlines(), start=1)
        if text.strip()
    ]
    if lines and not any(line.path.is_file() for line in lines):
        raise DataError(
            f"None of the {len(lines)} pictures that {path.name} lists is there; its paths are read from the list's "
            f"own folder, and the first is {lines[0].path.name}."
        )
    return lines


def _read_line(text: str, path: Path, number: int, inside: Path | None) -> Line:
    match = _LINE.fullmatch(text)
    parts = [match["path"], match["label"]] if match else text.rsplit(maxsplit=1)
    origin = f"line {number} of {path.name}"
    if len(parts) < 2:  # noqa: PLR2004 - a path and a label
        raise DataError(f"There is no label in {origin}: it must read `path label`.")
    name = parts[0].strip("\"'")
    picture = path.parent / name
    if "\\" in name and not picture.is_file():
        picture = path.parent / name.replace("\\", "/")  # written on Windows
    if inside is not None and not picture.resolve().is_relative_to(inside.resolve()):
        raise DataError(f"The picture in {origin} lies outside the archive.")
    return Line(picture, parts[1].strip("\"'"), origin)


def _text(path: Path) -> str:
    """The file's text: UTF-8, or GBK as a Chinese Windows writes it."""
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path.name} is neither UTF-8 nor GBK text.")


def read_classes(folder: Path) -> tuple[Label, ...] | None:
    """The classes file of `folder` (`name` or `name<TAB>中文` a line), None where there is none.

    Raises:
        DataError: the file cannot be understood.
    """
    if not (folder / CLASSES).is_file():
        return None
    try:
        return read_labels(folder / CLASSES)
    except ModelError as error:
        raise DataError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def label_lines(
    lists: Mapping[_Part, Iterable[Line]], labels: tuple[Label, ...] | None
) -> tuple[tuple[Label, ...], dict[_Part, list[tuple[Path, int]]]]:
    """The classes, and each list's pictures with the index of their class.

    With a classes file a label is an index from 0, or else a name in it; without one the labels are the names.

    Raises:
        DataError: a label is neither an index nor a name of the classes file.
    """
    every = [line for lines in lists.values() for line in lines]
    written = {line.label for line in every}
    if labels is None:
        numbers = all(label.isdecimal() for label in written)
        labels = tuple(plain_label(name) for name in sorted(written, key=int if numbers else None))
        index = {label.label: number for number, label in enumerate(labels)}
    else:
        indices = {str(number): number for number in range(len(labels))}
        by_name = {label.label: number for number, label in enumerate(labels)}
        index = max(indices, by_name, key=lambda way: len(written & way.keys()))  # classes may be called 7, 8 and 9
    for line in every:
        if line.label not in index:
            raise DataError(
                f"The label {line.label!r} in {line.origin} is no name in {CLASSES}, "
                f"and no index from 0 to {len(labels) - 1}."
            )
    return labels, {part: [(line.path, index[line.label]) for line in lines] for part, lines in lists.items()}
