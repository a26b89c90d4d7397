"""What `models/` holds, for people: every mode with its versions, and taking a version away."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import BaseModeFixed, ModelError, UnknownMode, UnknownVersion, VersionInUse
from app.registry.catalog import BUILT_IN, Entry, scan
from app.registry.files import remove_whole
from app.registry.manifest import Manifest, Title, is_key
from app.registry.state import (
    MANIFEST,
    Event,
    State,
    Trial,
    complete_versions,
    deleting,
    history_of,
    set_threshold,
)


class VersionRecord(BaseModel):
    """One version. `complete`: its manifest and tensors are there; else what the manifest would say is unknown.

    `size`: bytes on disk. `classes`: how many. `threshold`: the one in force; `own_threshold`: the version's own.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    active: bool
    on_trial: bool
    complete: bool
    size: int
    created: datetime | None = None
    title: Title | None = None
    classes: int | None = None
    backbone: str | None = None
    threshold: float | None = None
    own_threshold: float | None = None
    metrics: dict[str, Any] = {}
    parent: str | None = None
    imported_from: str | None = None


class ModeRecord(BaseModel):
    """One mode. `file`: the plain `.pth` that serves it, where it has no versions. `problem`: why it cannot serve.

    `earlier`: the version that a rollback goes to.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    active: str | None = None
    earlier: str | None = None
    trial: Trial | None = None
    file: str | None = None
    problem: str | None = None
    versions: list[VersionRecord] = []


def list_modes(models_dir: Path) -> list[ModeRecord]:
    """Every mode under `models_dir`, by key; the base mode, which has no versions, is not among them."""
    return [_mode_record(models_dir, entry) for _, entry in sorted(scan(models_dir).items())]


def read_mode(models_dir: Path, key: str) -> ModeRecord:
    """One mode. Raises UnknownMode where there is none."""
    return _mode_record(models_dir, _entry(models_dir, key))


def read_history(models_dir: Path, key: str) -> State:
    """How a mode came to serve what it serves: no change at all where a plain file does.

    Raises:
        UnknownMode: there is none. ModelError: its state cannot be read.
    """
    return State() if _entry(models_dir, key).path.suffix == ".pth" else history_of(models_dir / key)


def version_names(mode_folder: Path) -> list[str]:
    """The complete versions of a mode, v2 before v10; none where there is no such mode."""
    return sorted(complete_versions(mode_folder), key=_in_order)


def earlier_version(mode_folder: Path, state: State) -> str | None:
    """The version that served before the present one and is still there; None where there is none."""
    complete = complete_versions(mode_folder)
    return next((name for name in state.earlier() if name in complete and name != state.active), None)


def find_version(models_dir: Path, key: str, version: str) -> Path:
    """The folder of a version, whole or not.

    Raises:
        BaseModeFixed, UnknownMode, UnknownVersion: there is none.
    """
    check_not_base(key)
    _entry(models_dir, key)
    folder = models_dir / key / version
    if not is_key(version) or not folder.is_dir():
        raise UnknownVersion(mode=key, version=version[:80])
    return folder


def check_not_base(key: str) -> None:
    """Raises BaseModeFixed for a built-in mode: nothing of it can be promoted, deleted, taken back or imported over."""
    if key in BUILT_IN:
        raise BaseModeFixed


def delete_version(models_dir: Path, key: str, version: str, *, by: str, why: str = "") -> None:
    """Remove a version, in one step; the history keeps its name, which no other version will get.

    Raises:
        BaseModeFixed, UnknownMode, UnknownVersion: there is none. VersionInUse: it is active or on trial.
        ModelError: the mode's state cannot be read, so that nobody knows whether it is in use.
    """
    folder = find_version(models_dir, key, version)
    with deleting(folder.parent, version, by=by, why=why) as state:
        if version == state.active or (state.trial is not None and version == state.trial.version):
            raise VersionInUse(mode=key, version=version)
        if not folder.is_dir():  # somebody else was quicker
            raise UnknownVersion(mode=key, version=version)
        remove_whole(folder)


def decide_threshold(
    models_dir: Path, key: str, version: str | None, threshold: float | None, *, by: str, why: str
) -> Event:
    """Set the threshold of a version (None: the active one), or with None give it its own again.

    Raises:
        BaseModeFixed, UnknownMode, UnknownVersion: there is none. ModelError: it is not complete, or the state cannot
        be read.
    """
    check_not_base(key)
    name = version or read_history(models_dir, key).active
    if name is None:
        raise UnknownVersion(mode=key[:80], version="")
    return set_threshold(find_version(models_dir, key, name).parent, name, threshold, by=by, why=why)


def _entry(models_dir: Path, key: str) -> Entry:
    entry = scan(models_dir).get(key)
    if entry is None:
        raise UnknownMode(mode=key[:80])
    return entry


def _mode_record(models_dir: Path, entry: Entry) -> ModeRecord:
    if entry.path.suffix == ".pth":
        return ModeRecord(key=entry.key, file=entry.path.name, problem=entry.problem)
    folder = models_dir / entry.key
    try:
        state = history_of(folder)
    except ModelError:  # the entry's problem says so
        state = State()
    names = (path.name for path in folder.iterdir() if path.is_dir() and is_key(path.name))
    versions = [_version_record(folder / name, state) for name in sorted(names, key=_in_order)]
    return ModeRecord(
        key=entry.key,
        active=state.active,
        earlier=earlier_version(folder, state),
        trial=state.trial,
        problem=entry.problem,
        versions=versions,
    )


def _in_order(version: str) -> tuple[int, str]:
    """v2 before v10, and names without a number last."""
    number = version[1:]
    return (int(number), version) if version[:1] == "v" and number.isdecimal() else (1 << 62, version)


def _version_record(folder: Path, state: State) -> VersionRecord:
    known: dict[str, Any] = {
        "version": folder.name,
        "active": folder.name == state.active,
        "on_trial": state.trial is not None and folder.name == state.trial.version,
        "size": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return VersionRecord(**known, complete=False)
    return VersionRecord(
        **known,
        complete=bool(manifest.files) and all((folder / name).is_file() for name in manifest.files),
        created=manifest.created,
        title=manifest.title,
        classes=len(manifest.labels),
        backbone=manifest.backbone.name,
        threshold=state.thresholds.get(folder.name, manifest.threshold),
        own_threshold=manifest.threshold,
        metrics=manifest.metrics,
        parent=manifest.parent,
        imported_from=manifest.imported_from,
    )
