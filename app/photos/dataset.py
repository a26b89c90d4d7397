"""Labelled photos, in whatever of the usual ways they lie on the disk."""

import atexit
import hashlib
import random
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.errors import DataError
from app.photos.archive import unpack
from app.photos.files import find_pictures
from app.photos.lists import CLASSES, label_lines, read_classes, read_list
from app.vision.labels import Label, plain_label

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_NAMES: Mapping[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "validation", "valid"),
    "test": ("test", "testing"),
}
"""What folders and list files of each part are called; the first found counts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo and the index of its class."""

    path: Path
    label: int


_Parts = dict[Part, list[Sample]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Photos in three parts; `test` is empty where none was given. `classes_zh` has the Chinese names, or the same."""

    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    classes_zh: tuple[str, ...] = ()

    def parts(self) -> dict[Part, tuple[Sample, ...]]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def read_dataset(
    source: Path,
    *,
    seed: int = 0,
    validation_share: float = 0.15,
    workspace: Path | None = None,
    most_bytes: int | None = None,
) -> Dataset:
    """Read labelled photos from a folder, a list file or a zip; the pictures themselves are not opened.

    A folder holds list files (`train.txt`, and perhaps `val.txt`, `test.txt`, `classes.txt`; `path label` lines), or
    the folders `train/ val/ test/` of class folders, or class folders. A list file by itself is read as training
    photos. Where no validation part is given, `validation_share` of each class is taken from training, the same for the
    same `seed`; 0 takes none. A zip is unpacked into `workspace` (a temporary folder when None), where it may hold
    `most_bytes` (`photos.archive`).

    Raises:
        DataError: there are no labelled photos, or they cannot be told apart; the sentence says what was looked for.
    """
    if not source.exists():
        raise DataError(f"There is no {source}.")
    if source.is_dir():
        labels, parts = _read_folder(_unwrapped(source), inside=None)
    elif zipfile.is_zipfile(source):
        folder = unpack(source, workspace or _temporary_folder(), most_bytes)
        labels, parts = _read_folder(_unwrapped(folder), inside=folder)
    elif source.suffix.lower() == ".txt":
        labels, parts = _read_lists({"train": source}, inside=None)
    else:
        raise DataError(f"{source.name} is neither a folder, nor a list (.txt), nor a zip of labelled photos.")
    if not parts.get("train"):
        raise DataError(f"There are no training photos in {source.name}.")
    if not parts.get("validation"):
        parts["train"], parts["validation"] = split(parts["train"], share=validation_share, seed=seed)
    train, validation, test = (tuple(parts.get(part, ())) for part in PARTS)
    return Dataset(
        tuple(label.label for label in labels), train, validation, test, tuple(label.label_zh for label in labels)
    )


def split(samples: Sequence[Sample], *, share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Part `samples` in two, class by class: what remains, and `share` of each class, at least one where it has two.

    A class's own draw depends on `seed` and its photos alone; each class keeps at least one.
    """
    by_class: dict[int, list[int]] = {}
    for position in sorted(range(len(samples)), key=lambda position: samples[position].path.as_posix()):
        by_class.setdefault(samples[position].label, []).append(position)
    taken: set[int] = set()
    for positions in by_class.values():
        wanted = max(1, round(len(positions) * share)) if share > 0 else 0
        generator = random.Random(seed)  # noqa: S311 - a draw, not a secret
        taken.update(generator.sample(positions, min(wanted, len(positions) - 1)))
    kept = [sample for position, sample in enumerate(samples) if position not in taken]
    return kept, [sample for position, sample in enumerate(samples) if position in taken]


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over each photo's content, label and part; names of files and folders do not count.

    A photo that cannot be read counts as an empty one.
    """
    lines = sorted(
        f"{part}\t{dataset.classes[sample.label]}\t{content_hash(sample.path)}"
        for part, samples in dataset.parts().items()
        for sample in samples
    )
    return hashlib.sha256("\n".join([*dataset.classes, *lines]).encode()).hexdigest()


def content_hash(path: Path) -> str:
    """The SHA-256 of a photo's file, hex; one that cannot be read counts as empty."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return hashlib.sha256().hexdigest()


def _temporary_folder() -> Path:
    """A folder that lasts as long as this process, for the photos are read until its end."""
    folder = tempfile.mkdtemp(prefix="wanwu-data-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    """The pictures below `folder`, without what macOS and others hide beside them."""
    return [
        path
        for path in find_pictures([folder])
        if not any(part[0] == "." or part == "__MACOSX" for part in path.relative_to(folder).parts)
    ]


def _unwrapped(folder: Path) -> Path:
    """The folder with the data: a zip or a download often holds it inside one more."""
    inner = _subfolders(folder)
    alone = len(inner) == 1 and not _lists(folder) and not (folder / CLASSES).exists()
    if alone and (_lists(inner[0]) or _subfolders(inner[0])):
        return _unwrapped(inner[0])
    return folder


def _read_folder(folder: Path, inside: Path | None) -> tuple[tuple[Label, ...], _Parts]:
    lists = _lists(folder)
    if lists:
        return _read_lists(lists, inside)
    parts = _part_folders(folder)
    return _read_class_folders(parts or {"train": folder}, read_classes(folder))


def _lists(folder: Path) -> dict[Part, Path]:
    """The list file of each part that has one; none where there is no list of training photos."""
    files = {path.name.lower(): path for path in sorted(folder.glob("*.[tT][xX][tT]"))}
    found = ((part, files.get(f"{name}.txt")) for part, names in _NAMES.items() for name in reversed(names))
    lists = {part: path for part, path in found if path}
    return lists if "train" in lists else {}


def _part_folders(folder: Path) -> dict[Part, Path]:
    """The folder of each part that has one; a folder that holds no folders is a class, whatever its name."""
    folders = {path.name.lower(): path for path in _subfolders(folder) if _subfolders(path)}
    found = ((part, folders.get(name)) for part, names in _NAMES.items() for name in reversed(names))
    return {part: path for part, path in found if path}


def _read_lists(lists: Mapping[Part, Path], inside: Path | None) -> tuple[tuple[Label, ...], _Parts]:
    folder = next(iter(lists.values())).parent
    lines = {part: read_list(path, inside=inside) for part, path in lists.items()}
    labels, pictures = label_lines(lines, read_classes(folder))
    return labels, {part: [Sample(*pair) for pair in pictures[part]] for part in lists}


def _read_class_folders(
    parts: Mapping[Part, Path], labels: tuple[Label, ...] | None
) -> tuple[tuple[Label, ...], _Parts]:
    """Class folders in each part; a classes file gives their order and Chinese names."""
    names = sorted({folder.name for part in parts.values() for folder in _subfolders(part)})
    known = {label.label: label for label in labels or ()}
    ordered = [name for name in known if name in names] + [name for name in names if name not in known]
    if not ordered:
        raise DataError("There are no class folders: put each class's photos in a folder that bears its name.")
    samples = {
        part: [Sample(path, label) for label, name in enumerate(ordered) for path in _pictures_of(folder / name)]
        for part, folder in parts.items()
    }
    return tuple(known.get(name) or plain_label(name) for name in ordered), samples


def _pictures_of(folder: Path) -> Iterable[Path]:
    return _pictures(folder) if folder.is_dir() else ()
