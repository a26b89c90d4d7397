"""One version on disk: `models/<mode>/<version>/` with its manifest and its tensors, whole or not there at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from app.errors import ModelError
from app.registry.manifest import Manifest
from app.vision.download import sha256_of

MANIFEST = "manifest.json"
HEAD = "head.safetensors"
NETWORK = "network.safetensors"
STATE = "state.json"


def write_version(
    models_dir: Path, manifest: Manifest, tensors: Mapping[str, Tensor], extra_files: Mapping[str, bytes] | None = None
) -> Path:
    """Write a new version and return its folder; a mode's first version becomes active at once.

    `tensors`: `weight` and `bias` of the head, or a whole network's state_dict where the backbone was tuned.
    `extra_files`: what else belongs to the version, such as its report, by plain file name.

    Raises:
        ModelError: the version exists already.
    """
    folder = models_dir / manifest.mode / manifest.version
    if folder.exists():
        raise ModelError(f"the version {manifest.version} of {manifest.mode} exists already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    is_first = active_version(folder.parent) is None
    with written_whole(folder) as aside:
        name = NETWORK if manifest.backbone.tuned else HEAD
        (aside / name).write_bytes(save({key: tensor.detach().contiguous() for key, tensor in tensors.items()}))
        for extra, content in (extra_files or {}).items():
            (aside / extra).write_bytes(content)
        complete = manifest.model_copy(update={"files": {name: sha256_of(aside / name)}})
        write_file(aside / MANIFEST, complete.model_dump_json(indent=2) + "\n")
    if is_first:
        set_active(folder.parent, manifest.version)
    return folder


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to fill with files, beside `folder`, whose name it takes once all of it is on the disk.

    Where the block fails, nothing is left. The folder that `folder` lies in must exist.
    """
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        yield aside
        for path in aside.iterdir():
            _sync(path)
        _sync(aside)
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _sync(folder.parent)


def read_version(folder: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """A version's manifest and tensors, checked against each other.

    Raises:
        ModelError: something is missing, damaged or does not belong together; the sentence says what.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ModelError(f"{MANIFEST} cannot be read") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its content"
        raise ModelError(f"{MANIFEST} is not valid: {where}: {first['msg']}") from error
    name = NETWORK if manifest.backbone.tuned else HEAD
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(f"{name} cannot be read") from error
    if hashlib.sha256(content).hexdigest() != manifest.files.get(name):
        raise ModelError(f"{name} is not the file that {MANIFEST} describes: its SHA-256 differs")
    try:
        return manifest, load(content)
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{name} is not a safetensors file") from error


def active_version(mode_folder: Path) -> str | None:
    """The version that `state.json` names; without that file, the only or newest complete version."""
    complete = {path.parent.name: path.stat().st_mtime_ns for path in mode_folder.glob(f"[!.]*/{MANIFEST}")}
    try:
        named = json.loads((mode_folder / STATE).read_text(encoding="utf-8"))["active"]
    except FileNotFoundError:
        return max(complete, key=complete.__getitem__, default=None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{STATE} cannot be read") from error
    if named not in complete:
        raise ModelError(f"{STATE} names the version {named}, which is not there")
    return str(named)


def set_active(mode_folder: Path, version: str) -> None:
    """Name the active version, atomically."""
    write_file(mode_folder / STATE, json.dumps({"active": version}) + "\n")


def write_file(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old content or the new, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Force a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
