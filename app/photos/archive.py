"""Unpack a zip of labelled photos that may come from anybody."""

import hashlib
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from app.errors import DataError
from app.photos.files import SUFFIXES

MAX_FILES = 100_000
MAX_BYTES = 10 * 2**30
"""What an archive may hold, unpacked; far more than two cores can train on."""

_LISTS = frozenset({".txt", ".json"})
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1


def unpack(archive: Path, workspace: Path) -> Path:
    """Unpack the pictures and lists of `archive` under `workspace`; the folder, named by the archive's content.

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
            _extract(opened, building, shutil.disk_usage(workspace).free)
        building.replace(target)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise DataError(f"The archive {archive.name} cannot be unpacked: {error}.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _extract(opened: zipfile.ZipFile, folder: Path, free_bytes: int) -> None:
    """Write the entries that are wanted below `folder`; everything is checked before the first byte is written."""
    targets = {entry: folder.joinpath(*_safe_parts(entry)) for entry in opened.infolist() if not entry.is_dir()}
    wanted = {entry: path for entry, path in targets.items() if path.suffix.lower() in SUFFIXES | _LISTS}
    # The sizes can be trusted: zipfile reads no more of an entry than it declares.
    size = sum(entry.file_size for entry in wanted)
    if len(targets) > MAX_FILES or size > MAX_BYTES:
        raise DataError(
            f"The archive holds {len(targets)} files and {size / 2**30:.1f} GB; "
            f"the limits are {MAX_FILES} and {MAX_BYTES / 2**30:g} GB: unpack it yourself and name the folder."
        )
    if size > free_bytes:
        raise DataError(f"The archive needs {size / 2**30:.1f} GB of disk, and {free_bytes / 2**30:.1f} GB are free.")
    for entry, path in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def _safe_parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The entry's path below the folder, in parts."""
    name = _name(entry).replace("\\", "/")
    path = PurePosixPath(name)
    if entry.flag_bits & _ENCRYPTED_FLAG:
        raise DataError("The archive is protected with a password: unpack it yourself and name the folder.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError(f"The archive holds a link ({name}), which could lead anywhere: pack the file itself.")
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts[:1]):
        raise DataError(f"The archive has an entry that would land outside its folder: {name}.")
    return path.parts


def _name(entry: zipfile.ZipInfo) -> str:
    """The entry's name; zips packed on a Chinese Windows hold GBK without saying so, those of a Mac UTF-8."""
    if entry.flag_bits & _UTF8_FLAG or entry.filename.isascii():
        return entry.filename
    raw = entry.filename.encode("cp437", "replace")  # what zipfile decoded it with
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return entry.filename
