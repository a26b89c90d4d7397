"""Files and folders that appear whole or not at all, and stay where the power fails."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: OSError) -> bool:
    """Whether it says that there is no room on the disk."""
    return error.errno in _FULL


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to fill with files, beside `folder`, whose name it takes once all of it is on the disk.

    Where the block fails, nothing is left. The folder that `folder` lies in must exist.
    """
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        yield aside
        for path in aside.iterdir():
            sync(path)
        sync(aside)
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    sync(folder.parent)


def remove_whole(folder: Path) -> None:
    """Remove a folder in one step: it is gone by name before the first of its files is."""
    aside = Path(tempfile.mkdtemp(prefix=".deleting-", dir=folder.parent))
    folder.rename(aside / folder.name)
    sync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left aside in `folder`. Only where nobody else is writing there now."""
    for pattern in (".writing-*", ".deleting-*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*.json-*"):
        path.unlink(missing_ok=True)


def write_file(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a small file so that a reader sees the old content or the new, never a part. `mode`: who may read it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(mode)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Force a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
