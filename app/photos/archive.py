"""Unpack a zip of labelled photos that may come from anybody."""

import hashlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from app.errors import DataError
from app.photos.files import SUFFIXES

MAX_FILES = 100_000
MAX_BYTES = 10 * 2**30
"""What an archive may hold, unpacked; far more than two cores can train on."""

_LISTS = frozenset({".txt", ".json"})
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_ZIPFILE_S = "cp437"
"""What zipfile decodes a name with that does not say how it is written."""


def unpack(archive: Path, workspace: Path, most_bytes: int | None = None) -> Path:
    """Unpack the pictures and lists of `archive` under `workspace`; the folder, named by the archive's content.

    `most_bytes`: what it may hold, `MAX_BYTES` when None.

    A second call finds the folder there and unpacks nothing; a killed one leaves nothing that looks whole.

    Raises:
        DataError: the archive is damaged, encrypted, too large, or has an entry that would land outside the folder.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = workspace / f"zip-{digest[:16]}"
    if target.is_dir():
        return target
    workspace.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=workspace))
    try:
        with zipfile.ZipFile(archive) as opened:
            _extract(opened, building, shutil.disk_usage(workspace).free, most_bytes or MAX_BYTES)
        building.replace(target)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # without the path, which is nobody's business
        raise DataError(f"The archive {archive.name} cannot be unpacked: {reason}.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _extract(opened: zipfile.ZipFile, folder: Path, free_bytes: int, most_bytes: int) -> None:
    """Write the entries that are wanted below `folder`; everything is checked before the first byte is written."""
    encoding = _encoding(opened.infolist())
    files = (entry for entry in opened.infolist() if not entry.is_dir())
    targets = {entry: folder.joinpath(*_safe_parts(entry, encoding)) for entry in files}
    wanted = {entry: path for entry, path in targets.items() if path.suffix.lower() in SUFFIXES | _LISTS}
    # The sizes can be trusted: zipfile reads no more of an entry than it declares.
    size = sum(entry.file_size for entry in wanted)
    if len(targets) > MAX_FILES or size > most_bytes:
        raise DataError(
            f"The archive holds {len(targets)} files and {size / 2**30:.1f} GB; "
            f"the limits are {MAX_FILES} and {most_bytes / 2**30:.2g} GB: unpack it yourself and name the folder."
        )
    if size > free_bytes:
        raise DataError(f"The archive needs {size / 2**30:.1f} GB of disk, and {free_bytes / 2**30:.1f} GB are free.")
    for entry, path in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def _safe_parts(entry: zipfile.ZipInfo, encoding: str) -> tuple[str, ...]:
    """The entry's path below the folder, in parts."""
    name = _name(entry, encoding).replace("\\", "/")
    path = PurePosixPath(name)
    if entry.flag_bits & _ENCRYPTED_FLAG:
        raise DataError("The archive is protected with a password: unpack it yourself and name the folder.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError(f"The archive holds a link ({name}), which could lead anywhere: pack the file itself.")
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts[:1]):
        raise DataError(f"The archive has an entry that would land outside its folder: {name}.")
    return path.parts


def _encoding(entries: Iterable[zipfile.ZipInfo]) -> str:
    """How the names are written that do not say so: GBK in zips of a Chinese Windows, UTF-8 in those of a Mac.

    All of them decide together: a single name in GBK may be valid UTF-8 by chance.
    """
    raw = [_raw(entry) for entry in entries if not _is_said(entry)]
    for encoding in ("utf-8", "gb18030"):
        with suppress(UnicodeDecodeError):
            for name in raw:
                name.decode(encoding)
            return encoding
    return _ZIPFILE_S


def _name(entry: zipfile.ZipInfo, encoding: str) -> str:
    return entry.filename if _is_said(entry) else _raw(entry).decode(encoding)


def _is_said(entry: zipfile.ZipInfo) -> bool:
    return bool(entry.flag_bits & _UTF8_FLAG) or entry.filename.isascii()


def _raw(entry: zipfile.ZipInfo) -> bytes:
    return entry.filename.encode(_ZIPFILE_S, "replace")
