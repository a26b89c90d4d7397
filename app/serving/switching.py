"""Changing what a mode serves: every way in checks a version as the server would load it, and only then switches."""

from collections.abc import Callable
from pathlib import Path

from app.config import Settings
from app.errors import AlreadyActive, ModelError, NeverServed, NothingEarlier
from app.registry.catalog import Entry
from app.registry.importing import Order, read_import
from app.registry.library import (
    VersionRecord,
    check_not_base,
    earlier_version,
    find_version,
    read_history,
    read_mode,
)
from app.registry.state import Action, Event, activate
from app.registry.versions import write_version
from app.serving.loading import Loader

Check = Callable[[Entry], object]
"""Loads a version as the server would, and raises ModelError where it cannot; the server's own spares a second load."""


def promote(
    models: Settings, mode: str, version: str, *, by: str, why: str, forced: bool = False, check: Check | None = None
) -> Event:
    """Make a complete, verified version the active one.

    Raises:
        UnknownMode, UnknownVersion, BaseModeFixed, AlreadyActive: there is nothing to do. ModelError: it cannot be
        served; what served goes on.
    """
    return _switch(models, mode, version, "promote", by=by, why=why, forced=forced, check=check)


def roll_back(
    settings: Settings, mode: str, *, by: str, why: str, to: str | None = None, check: Check | None = None
) -> Event:
    """Go back to the version that served before the present one and is still there, or to the earlier version `to`.

    Called twice it goes back twice: what was taken back is never gone back to, unless `to` names it.

    Raises:
        NothingEarlier, NeverServed: there is none; and as `promote`.
    """
    check_not_base(mode)
    if to is not None:
        find_version(settings.models_dir, mode, to)
        if to not in read_history(settings.models_dir, mode).served():
            raise NeverServed(mode=mode, version=to)
    version = to or _earlier(settings.models_dir, mode)
    return _switch(settings, mode, version, "rollback", by=by, why=why, forced=False, check=check)


def import_version(
    source: Path, order: Order, settings: Settings, *, by: str, check: Check | None = None
) -> VersionRecord:
    """Make a model from elsewhere the mode's next version; a mode's first becomes active at once.

    Raises:
        PublicError: the mode cannot take it. ModelError: the model cannot be served; then nothing is left of it.
    """
    check = check or Loader(settings).version
    try:
        manifest, tensors = read_import(source, order, settings)
        write_version(
            settings.models_dir,
            manifest,
            tensors,
            by=by,
            why=f"imported from {manifest.imported_from}",
            check=lambda folder: check(Entry(manifest.mode, folder)),
        )
    except ModelError as error:
        raise ModelError(f"{source.name} cannot be imported: {error}") from error
    record = read_mode(settings.models_dir, order.mode)
    return next(version for version in record.versions if version.version == manifest.version)


def _earlier(models_dir: Path, mode: str) -> str:
    found = earlier_version(models_dir / mode, read_history(models_dir, mode))
    if found is None:
        raise NothingEarlier(mode=mode)
    return found


def _switch(
    settings: Settings,
    mode: str,
    version: str,
    action: Action,
    *,
    by: str,
    why: str,
    forced: bool,
    check: Check | None,
) -> Event:
    folder = find_version(settings.models_dir, mode, version)
    try:
        if read_history(settings.models_dir, mode).active == version:
            raise AlreadyActive(mode=mode, version=version)
        (check or Loader(settings).version)(Entry(mode, folder))
        return activate(folder.parent, version, action=action, by=by, why=why, forced=forced)
    except ModelError as error:
        raise ModelError(f"{mode}@{version} cannot be made active: {error}") from error
