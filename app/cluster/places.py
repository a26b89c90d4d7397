"""Pictures in bulk: which there are, and their bytes, in folders that all nodes see and in stores (`s3://…`)."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from app.errors import OperatorError, UnreadableImage
from app.photos.files import SUFFIXES, find_pictures

READS = 16
"""How many files of a store are on their way to a process at once: each takes long, and little of a core."""


def is_address(place: str) -> bool:
    """Whether it names a place in a store, as `s3://bucket/folder` does, rather than on the disk."""
    return "://" in place


def opened(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address or of a path on the disk, and the path within it.

    Raises:
        OperatorError: the package for such a store is missing, or there is no such kind of store.
    """
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise OperatorError(f"{address} cannot be used: {first_line(error)}.") from error
    return system, path


def pictures_in(places: Iterable[str]) -> list[str]:
    """As `find_pictures`, whatever kind of place it is: a file that is named, and what looks like one under a folder.

    Raises:
        OperatorError: there is no such place in the store, or the store cannot be read.
    """
    found: list[str] = []
    for place in places:
        found += _in_store(place) if is_address(place) else map(str, find_pictures([Path(place)]))
    return list(dict.fromkeys(found))


def _in_store(address: str) -> list[str]:
    system, path = opened(address)
    try:
        files: list[str] = sorted(system.find(path))
    except Exception as error:  # each store has its own
        raise OperatorError(f"{address} cannot be read: {first_line(error)}.") from error
    if not files:
        raise OperatorError(f"There is nothing at {address}.")
    named = files == [path]
    return [
        str(system.unstrip_protocol(one)) for one in files if named or PurePosixPath(one).suffix.lower() in SUFFIXES
    ]


class Reader:
    """Reads ahead: it is a `classify.Fetch`. Relative paths are within `folder`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(READS, thread_name_prefix="read")

    def __call__(self, path: str) -> Callable[[], bytes]:
        """Begin to read; what is returned waits for it. It raises OSError, UnreadableImage: the file is not there.

        A store that fails raises OperatorError: nothing is wrong with the picture, and nothing is to be said of it.
        """
        return self._threads.submit(self._read, path).result

    def _read(self, path: str) -> bytes:
        if not is_address(path):
            return Path(self._folder, path).read_bytes()
        system, within = opened(path)
        try:
            data: bytes = system.cat_file(within)
        except FileNotFoundError as error:
            raise UnreadableImage from error
        except Exception as error:  # each store has its own
            raise OperatorError(f"{path} cannot be read just now: {first_line(error)}.") from error
        return data


def first_line(error: Exception) -> str:
    """What an error says, without a full stop."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")
