"""`state.json`: which version of a mode is active, what runs beside it, and how that came about, in one atomic file.

Versions never change. What people decide about one, such as its threshold, stands here beside it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import BadParameter, ModelError, PublicError
from app.registry.files import remove_whole, sweep, sync, write_file
from app.registry.sharing import Change, site_of

STATE = "state.json"
MANIFEST = "manifest.json"
_LOCK = ".lock"

Action = Literal["first", "promote", "rollback", "trial", "trial_ended", "delete", "threshold"]
_SWITCHES = ("first", "promote", "rollback")
_NOBODY, _FOUND = "unknown", "found with no state.json: the newest version"


class Event(BaseModel):
    """One change. `before`: what was active until then.

    `version`: what became active, or what the trial ran, what was deleted, or whose threshold was set, to `threshold`
    (None: to its own again).
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    action: Action
    version: str
    before: str | None = None
    by: str
    why: str
    forced: bool = False
    threshold: float | None = None


class Trial(BaseModel):
    """A second version beside the active one: it answers for a `share` of the callers, or in `shadow` for nobody."""

    model_config = ConfigDict(frozen=True)

    version: str
    kind: Literal["split", "shadow"]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    since: datetime


class State(BaseModel):
    """What `state.json` holds. `history`: oldest first; it is part of the file, so that it never disagrees with it.

    `thresholds`: by version, where somebody set another than the version's own.
    """

    model_config = ConfigDict(frozen=True)

    active: str | None = None
    trial: Trial | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    history: tuple[Event, ...] = ()

    def served_at(self, moment: datetime) -> Event | None:
        """The change that put in place what served at `moment`; None: nothing did yet, or nobody wrote it down."""
        return next((event for event in reversed(self._switches()) if event.at <= moment), None)

    def earlier(self) -> list[str]:
        """The versions that served before the present one, the latest first; what was taken back is not among them."""
        line: list[str] = []
        for event in self._switches():
            if not line and event.before:
                line = [event.before]
            if event.action == "rollback" and event.version in line:
                del line[line.index(event.version) :]
            line = [version for version in line if version != event.version] + [event.version]
        return line[-2::-1]

    def served(self) -> set[str]:
        """Every version that ever served."""
        switches = self._switches()
        return {event.version for event in switches} | {event.before for event in switches if event.before}

    def names(self) -> set[str]:
        """Every version that the history tells of: none of these names may ever mean another version."""
        return {event.version for event in self.history} | {event.before for event in self.history if event.before}

    def _switches(self) -> list[Event]:
        return [event for event in self.history if event.action in _SWITCHES]


def read_state(mode_folder: Path) -> State:
    """A mode's state; where there is no `state.json`, the only or newest complete version is active.

    Raises:
        ModelError: `state.json` cannot be read, or names a version that is not there.
    """
    state = history_of(mode_folder)
    if state.active is not None and state.active not in complete_versions(mode_folder):
        raise ModelError(f"{STATE} names the version {state.active}, which is not there")
    return state


def history_of(mode_folder: Path) -> State:
    """As `read_state`, also where the active version is no longer there.

    Raises:
        ModelError: `state.json` cannot be read.
    """
    try:
        return State.model_validate_json((mode_folder / STATE).read_bytes())
    except FileNotFoundError:
        return _found_state(mode_folder)
    except (OSError, ValidationError) as error:
        raise ModelError(f"{STATE} cannot be read") from error


def _found_state(mode_folder: Path) -> State:
    """The state of a folder that was put there by hand, or whose first version was cut off before it was told of."""
    complete = complete_versions(mode_folder)
    if not complete:
        return State()
    newest = max(complete, key=complete.__getitem__)
    at = datetime.fromtimestamp(complete[newest] // 1_000_000 / 1000, UTC)
    return State(active=newest, history=(Event(at=at, action="first", version=newest, by=_NOBODY, why=_FOUND),))


def complete_versions(mode_folder: Path) -> dict[str, int]:
    """The versions that are whole, with the time of each (nanoseconds since 1970)."""
    return {path.parent.name: path.stat().st_mtime_ns for path in mode_folder.glob(f"[!.]*/{MANIFEST}")}


def active_version(mode_folder: Path) -> str | None:
    """The active version, or None where the mode has none. Raises ModelError as `read_state`."""
    return read_state(mode_folder).active


@contextmanager
def locked(mode_folder: Path) -> Iterator[Change | None]:
    """Within it no other process changes this mode's state or versions; waits for one that does.

    Where sites share a store, the mode is brought up to date first (raises as `Site.changing`), else it yields None.
    """
    if not mode_folder.is_dir():
        mode_folder.mkdir(parents=True, exist_ok=True)
        sync(mode_folder.parent)
    with (mode_folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it with the process
        sweep(mode_folder)
        site = site_of(mode_folder)
        yield site.changing(mode_folder) if site else None


@contextmanager
def adding(mode_folder: Path, version: str, *, by: str, why: str) -> Iterator[None]:
    """Within it `version` may appear, and nobody else changes the mode. The first one becomes active, no later one."""
    with locked(mode_folder) as shared:
        before = history_of(mode_folder)
        if before.active is not None and not (mode_folder / STATE).exists():
            _write(mode_folder, before, shared)  # or the newer version would be taken for the active one
        yield
        try:
            if before.active is None:
                event = Event(at=now(), action="first", version=version, by=by, why=why)
                _write(mode_folder, before.model_copy(update={"active": version}), shared, event)
            elif shared is not None:
                _write(mode_folder, before, shared)  # the other sites learn that there is one more
        except (PublicError, ModelError):  # of a store: a version that the others do not have is none
            remove_whole(mode_folder / version)
            raise


@contextmanager
def deleting(mode_folder: Path, version: str, *, by: str, why: str) -> Iterator[State]:
    """Within it `version` may go, and nobody else changes the mode; that it went is written down after."""
    with locked(mode_folder) as shared:
        before = read_state(mode_folder)
        yield before
        event = _event(before, "delete", version, by=by, why=why)
        thresholds = {name: value for name, value in before.thresholds.items() if name != version}
        _write(mode_folder, before.model_copy(update={"thresholds": thresholds}), shared, event)


def activate(mode_folder: Path, version: str, *, action: Action, by: str, why: str, forced: bool = False) -> Event:
    """Make `version` the active one; a trial of it ends with that. The caller has made sure that it can be served.

    It also mends a state that names a version which is no longer there.

    Raises:
        ModelError: there is no complete version of that name, or `state.json` cannot be read.
    """
    with locked(mode_folder) as shared:
        before = history_of(mode_folder)
        if version not in complete_versions(mode_folder):
            raise ModelError(f"there is no complete version {version}")
        event = _event(before, action, version, by=by, why=why, forced=forced)
        trial = None if before.trial and before.trial.version == version else before.trial
        _write(mode_folder, before.model_copy(update={"active": version, "trial": trial}), shared, event)
    return event


def set_threshold(mode_folder: Path, version: str, threshold: float | None, *, by: str, why: str) -> Event:
    """Let `version` say "unknown" below `threshold` (0 to 1), or below its own again (None), wherever it answers.

    Raises:
        ModelError: there is no complete version of that name, or `state.json` cannot be read.
    """
    with locked(mode_folder) as shared:
        before = read_state(mode_folder)
        if version not in complete_versions(mode_folder):
            raise ModelError(f"there is no complete version {version}")
        thresholds = {name: value for name, value in before.thresholds.items() if name != version}
        if threshold is not None:
            thresholds[version] = threshold
        event = _event(before, "threshold", version, by=by, why=why, threshold=threshold)
        _write(mode_folder, before.model_copy(update={"thresholds": thresholds}), shared, event)
    return event


def set_trial(mode_folder: Path, trial: Trial | None, *, by: str, why: str, instead_of: Trial | None = None) -> Event:
    """Begin a trial, or end the one that runs (None); given `instead_of`, only where that is the one that runs.

    Raises:
        ModelError: there is no complete version of that name, it is the active one, or there is no such trial to end.
    """
    if not mode_folder.is_dir():
        raise ModelError("there is no version of this mode")
    with locked(mode_folder) as shared:
        before = read_state(mode_folder)
        if (trial is None and before.trial is None) or (instead_of is not None and before.trial != instead_of):
            raise ModelError("there is no such trial to end")
        if trial is not None and (
            trial.version == before.active or trial.version not in complete_versions(mode_folder)
        ):
            raise ModelError(f"there is no other complete version {trial.version} to try")
        version = trial.version if trial else before.trial.version  # type: ignore[union-attr]
        event = _event(before, "trial" if trial else "trial_ended", version, by=by, why=why)
        _write(mode_folder, before.model_copy(update={"trial": trial}), shared, event)
    return event


def _event(
    before: State,
    action: Action,
    version: str,
    *,
    by: str,
    why: str,
    forced: bool = False,
    threshold: float | None = None,
) -> Event:
    """A change that follows `before`, now; or at the time of the last one, where the clock has been put back since."""
    return Event(
        at=max([now(), *(event.at for event in before.history[-1:])]), action=action, version=version,
        before=before.active, by=by, why=why, forced=forced, threshold=threshold,
    )  # fmt: skip


def moment_of(text: str) -> datetime:
    """A time as people write it to a program (ISO 8601), UTC unless it says otherwise.

    Raises:
        BadParameter: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadParameter(
            name="at", en="a time such as 2026-11-24T20:00:00Z", zh="形如 2026-11-24T20:00:00Z 的时间"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def new_trial(version: str, kind: Literal["split", "shadow"], share: float) -> Trial:
    """A trial that begins now; a shadow sees every picture, whatever `share` says."""
    return Trial(version=version, kind=kind, share=share if kind == "split" else 1.0, since=now())


def now() -> datetime:
    """The time of day, UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _write(mode_folder: Path, state: State, shared: Change | None, event: Event | None = None) -> None:
    """The one place where a state is written, `event` the last of its history; for all sites, where there are many."""
    state = state.model_copy(update={"history": (*state.history, event)}) if event else state
    content = state.model_dump_json(indent=1) + "\n"
    if shared is None:
        write_file(mode_folder / STATE, content)
    else:
        shared.publish(content)
