"""One version on disk: `models/<mode>/<version>/` with its manifest and its tensors, whole or not there at all."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from app.errors import ModelError
from app.registry.files import write_file, written_whole
from app.registry.manifest import Manifest
from app.registry.state import MANIFEST, activate, active_version
from app.vision.download import sha256_of

HEAD = "head.safetensors"
NETWORK = "network.safetensors"


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
        activate(folder.parent, manifest.version, action="first", by="training", why="the first version of the mode")
    return folder


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
