"""What lies under `models/`: which modes, from which files, and whether any of them has changed."""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.errors import ModelError
from app.registry.manifest import is_key
from app.registry.state import MANIFEST, STATE, State, Trial, read_state
from app.registry.versions import HEAD, NETWORK

BASE_MODE = "imagenet"
ENSEMBLE_MODE = "imagenet-ensemble"
BUILT_IN = (BASE_MODE, ENSEMBLE_MODE)
"""The modes that come with the networks: nothing under `models/` may have their names."""
_BASE_WEIGHTS = re.compile(r"-[0-9a-f]{8}\.pth$")
"""torchvision's own weight files, which may lie in `models/` too, end in a piece of their hash."""

Signature = tuple[tuple[str, int, int, int], ...]

_states: dict[Path, tuple[Signature, State]] = {}
"""The state of each mode's folder as it was last read: one a folder, since its history grows with every change."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One mode found. `path`: a version's folder, or a `.pth` file; `problem`: why it cannot be looked at further.

    `trial`: what its state says runs beside the version at `path`; `thresholds`: those that it sets, by version.
    """

    key: str
    path: Path
    labels_path: Path | None = None
    signature: Signature = ()
    problem: str | None = None
    trial: Trial | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)


def scan(models_dir: Path) -> dict[str, Entry]:
    """The modes under `models_dir`, by key; cheap enough for twice a second (opens a new `state.json` only)."""
    found: dict[str, Entry] = {}
    for path in sorted(models_dir.iterdir()) if models_dir.is_dir() else []:
        entry = None
        if path.name.startswith("."):
            continue
        if path.is_dir():
            entry = _mode_folder(path)
        elif path.suffix == ".pth" and not _BASE_WEIGHTS.search(path.name):
            entry = _checkpoint(path.stem, path)
        if entry:
            found[entry.key] = named(entry, taken=found)
    return found


def identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, whatever its name; None where there is none."""
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def labels_beside(checkpoint: Path) -> Path | None:
    """The labels file of a checkpoint: its own name with .txt or .json, or `labels.*` where it has the folder alone."""
    candidates = [checkpoint.with_suffix(suffix) for suffix in (".txt", ".json")]
    if len(list(checkpoint.parent.glob("*.pth"))) == 1:
        candidates += [
            checkpoint.with_name(f"{stem}{suffix}") for stem in ("labels", "classes") for suffix in (".txt", ".json")
        ]
    return next((path for path in candidates if path.is_file()), None)


def _mode_folder(folder: Path) -> Entry | None:
    try:
        state = _state(folder)
    except ModelError as error:
        return Entry(folder.name, folder, signature=_signature([folder / STATE]), problem=str(error))
    if state.active is not None:
        path = folder / state.active
        watched = [path / MANIFEST, path / HEAD, path / NETWORK]  # not the state: a trial leaves the active one alone
        return Entry(folder.name, path, signature=_signature(watched), trial=state.trial, thresholds=state.thresholds)
    checkpoints = sorted(folder.glob("*.pth"))
    return _checkpoint(folder.name, checkpoints[0]) if checkpoints else None


def _state(folder: Path) -> State:
    """A mode's state; its file is read only when it has changed. Raises ModelError as `read_state`."""
    signature = _signature([folder / STATE])
    known = _states.get(folder)
    if signature and known and known[0] == signature:
        return known[1]
    state = read_state(folder)
    _states[folder] = (signature, state)
    return state


def _checkpoint(key: str, path: Path) -> Entry:
    labels = labels_beside(path)
    return Entry(key, path, labels, _signature([path] + ([labels] if labels else [])))


def named(entry: Entry, taken: Container[str] = ()) -> Entry:
    """The same entry, with the reason where its name rules it out."""
    problem = entry.problem
    if not is_key(entry.key):
        problem = "its name may hold letters, digits, '_', '-' and '.' only"
    elif entry.key in BUILT_IN:
        problem = f"the name {entry.key} belongs to the base mode"
    elif entry.key in taken:
        problem = "a folder and a .pth file have this name"
    return replace(entry, problem=problem)


def _signature(paths: Iterable[Path]) -> Signature:
    """Name, inode, size and time of each file that exists: a replaced or rewritten file changes it."""
    stats = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            continue
        stats.append((path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(stats)
