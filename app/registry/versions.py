"""One version on disk: `models/<mode>/<version>/` with its manifest and its tensors, whole or not there at all."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from app.errors import ModelError
from app.registry.files import write_file, written_whole
from app.registry.manifest import Manifest
from app.registry.state import MANIFEST, adding, history_of
from app.vision.download import sha256_of

HEAD = "head.safetensors"
NETWORK = "network.safetensors"
SCORE = "score.safetensors"
"""What the mode's score compares with; only where it compares."""
PHOTOS = "photos.csv"
"""Which photos it was made from; without it a mode cannot learn from its corrections."""


def next_version(mode_folder: Path) -> str:
    """ "v1", "v2", …: one more than the highest that is there, whole or not, or that the history tells of."""
    names = {path.name for path in mode_folder.glob("v*")} | history_of(mode_folder).names()
    numbers = [int(name[1:]) for name in names if name[:1] == "v" and name[1:].isascii() and name[1:].isdigit()]
    return f"v{max(numbers, default=0) + 1}"


def write_version(
    models_dir: Path,
    manifest: Manifest,
    tensors: Mapping[str, Tensor],
    extra_files: Mapping[str, bytes] | None = None,
    *,
    score: Mapping[str, Tensor] | None = None,
    by: str = "training",
    why: str = "the first version of the mode",
    check: Callable[[Path], object] | None = None,
) -> Path:
    """Write a new version and return its folder; a mode's first version becomes active at once, `by` whom and `why`.

    `tensors`: `weight` and `bias` of the head, or a whole network's state_dict where the backbone was tuned.
    `score`: the tensors of its score, if it has any.
    `extra_files`: what else belongs to the version, such as its report, by plain file name.
    `check`: is called with the folder before it has its name; where it raises, there is no new version.

    Raises:
        ModelError: the version exists already.
    """
    folder = models_dir / manifest.mode / manifest.version
    with adding(folder.parent, manifest.version, by=by, why=why), written_whole(folder) as aside:
        if folder.exists():
            raise ModelError(f"the version {manifest.version} of {manifest.mode} exists already")
        name = NETWORK if manifest.backbone.tuned else HEAD
        parts = {name: tensors, **({SCORE: score} if score else {})}
        for part, content in parts.items():
            (aside / part).write_bytes(save({key: tensor.detach().contiguous() for key, tensor in content.items()}))
        for extra, text in (extra_files or {}).items():
            (aside / extra).write_bytes(text)
        complete = manifest.model_copy(update={"files": {part: sha256_of(aside / part) for part in parts}})
        write_file(aside / MANIFEST, complete.model_dump_json(indent=2) + "\n")
        if check is not None:
            check(aside)
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
    return manifest, _tensors(folder, NETWORK if manifest.backbone.tuned else HEAD, manifest)


def for_member(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """A version's tensors as an ensemble keeps them of that member."""
    return {f"{number}.{name}": tensor for name, tensor in tensors.items()}


def of_member(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """The tensors of that member out of an ensemble's."""
    start = f"{number}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def read_score(folder: Path, manifest: Manifest) -> dict[str, Tensor]:
    """The tensors of a version's score; none where it compares with nothing. Raises as `read_version`."""
    return _tensors(folder, SCORE, manifest) if SCORE in manifest.files else {}


def _tensors(folder: Path, name: str, manifest: Manifest) -> dict[str, Tensor]:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(f"{name} cannot be read") from error
    if hashlib.sha256(content).hexdigest() != manifest.files.get(name):
        raise ModelError(f"{name} is not the file that {MANIFEST} describes: its SHA-256 differs")
    try:
        return load(content)
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{name} is not a safetensors file") from error
