"""Which files are pictures."""

from collections.abc import Iterable
from pathlib import Path

SUFFIXES = frozenset(
    f".{name}"
    for name in "jpg jpeg jpe jfif mpo png apng webp gif bmp dib tif tiff avif heic heif".split()  # noqa: SIM905
)


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """The files named, and under the folders named all that look like pictures, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        else:
            found.append(path)
    return list(dict.fromkeys(found))
