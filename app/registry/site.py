"""This site's `models/` as a cache of the store that it shares with others.

`<mode>/.store.json` says which document of the store's a mode's folder was made equal to; it is written last, and
removed first where that may no longer be so. Whatever was cut off in between is mended by the next look.
"""

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from app.config import Settings
from app.errors import ModelError, PublicError
from app.registry.documents import Moved
from app.registry.files import remove_whole, write_file, written_whole
from app.registry.job_book import open_book
from app.registry.manifest import is_key
from app.registry.sharing import ChangedElsewhere, attach
from app.registry.state import STATE, State, complete_versions, history_of, locked
from app.registry.store import Store, answering, digest_of, open_store

LOG = logging.getLogger(__name__)
_RECORD = ".store.json"
_AGAIN_S = 60.0
"""Until the next try, where what the store holds of a mode cannot be used; sooner where it holds something else."""


def _key(name: str) -> str:
    if not is_key(name):
        raise ValueError("no name for a version")
    return name


class Shared(BaseModel):
    """What the store says of a mode: the hash of each version that there is, and its state."""

    versions: dict[Annotated[str, AfterValidator(_key)], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}
    state: State = State()

    def named(self) -> set[str]:
        """The versions that the state needs."""
        return {name for name in (self.state.active, self.state.trial and self.state.trial.version) if name}


class Record(BaseModel):
    """What lies here: the versions by hash, and the tag of the document; None where not all of it could be had."""

    tag: str | None = None
    versions: dict[str, str] = {}


class Site:
    """The modes under `models_dir` and the store. Each method that changes one is called under that mode's lock."""

    def __init__(self, models_dir: Path, store: Store, *, shares_records: bool) -> None:
        self._models_dir, self._store = models_dir, store
        self.shares_records = shares_records
        self._troubles: dict[str, tuple[str, float]] = {}
        """By mode: with which document there was one, and when to look at it again."""

    def follow(self) -> None:
        """Bring every mode up to date that the store has another document of. Where one cannot be, the log says why.

        Raises:
            StoreAway: the store does not answer.
        """
        with answering():
            tags = self._store.documents.tags()
        for mode, tag in tags.items():
            if not is_key(mode) or read_record(self._models_dir / mode).tag == tag:
                continue
            known, again = self._troubles.get(mode, ("", 0.0))
            if known == tag and time.monotonic() < again:
                continue
            try:
                with locked(self._models_dir / mode):
                    pass  # to lock it is to bring it up to date
            except (ModelError, OSError) as error:  # a full disk too: others may be smaller
                LOG.warning("mode %s cannot follow the store: %s", mode, error)
            self._troubles[mode] = (tag, time.monotonic() + _AGAIN_S)

    def bring(self, mode: str) -> None:
        """Bring one mode up to date, now, if the store has it.

        Raises:
            StoreAway: the store does not answer. ModelError: what it holds of the mode cannot be used.
        """
        with answering():
            is_there = self._store.documents.read(mode) is not None
        if is_there:
            with locked(self._models_dir / mode):
                pass  # to lock it is to bring it up to date

    def share(self) -> list[str]:
        """Put into the store what was here before there was one: every mode that it does not have. Which those were.

        Raises:
            StoreAway: the store does not answer. ChangedElsewhere: another site shares the same mode at this moment.
        """
        shared = []
        for mode_folder in sorted(self._models_dir.glob("[!.]*/")):
            if not is_key(mode_folder.name) or not complete_versions(mode_folder):
                continue
            with locked(mode_folder):
                change = self.changing(mode_folder)
                if change.tag is None:
                    change.publish(history_of(mode_folder).model_dump_json())
                    shared.append(mode_folder.name)
        return shared

    def changing(self, mode_folder: Path) -> "_Change":
        """As `sharing.Site.changing`."""
        mode = mode_folder.name
        with answering():
            found = self._store.documents.read(mode)
        if found is None:
            return _Change(self._store, mode_folder, None, Shared())
        try:
            shared = Shared.model_validate_json(found.content)
        except ValidationError as error:
            raise ModelError(f"what the store says of the mode {mode} cannot be read") from error
        if read_record(mode_folder).tag != found.tag:
            self._bring(mode_folder, shared, found.tag)
        return _Change(self._store, mode_folder, found.tag, shared)

    def put(self, name: str, content: bytes) -> None:
        """As `sharing.Site.put`."""
        self._store.put(name, content)

    def get(self, name: str) -> bytes | None:
        """As `sharing.Site.get`."""
        return self._store.get(name)

    def remove(self, name: str) -> None:
        """As `sharing.Site.remove`."""
        self._store.drop(name)

    def names(self, folder: str) -> dict[str, datetime]:
        """As `sharing.Site.names`."""
        return self._store.names(folder)

    def _bring(self, mode_folder: Path, shared: Shared, tag: str) -> None:
        """Make the folder equal to what the store says: new versions, then the state, then without what is gone."""
        before = read_record(mode_folder)
        here: dict[str, str] = {}
        lost: ModelError | None = None
        for name in sorted(shared.versions, key=lambda name: name not in shared.named()):
            try:
                self._have(mode_folder, name, shared.versions[name], before.versions.get(name))
                here[name] = shared.versions[name]
            except ModelError as error:
                if name in shared.named():
                    raise
                lost = error
        _write_state(mode_folder, shared.state)
        for name in before.versions.keys() - shared.versions.keys():
            if (mode_folder / name).is_dir():
                remove_whole(mode_folder / name)
        _write_record(mode_folder, Record(tag=None if lost else tag, versions=here))
        LOG.info("mode %s is as the store has it: %s", mode_folder.name, shared.state.active)
        if lost is not None:
            LOG.warning("mode %s has not all versions of the store: %s", mode_folder.name, lost)

    def _have(self, mode_folder: Path, name: str, digest: str, known: str | None) -> None:
        """Let that version lie here; another of its name that was never in the store is put aside, not lost."""
        folder = mode_folder / name
        if folder.is_dir():
            if known == digest or digest_of(folder) == digest:
                return
            aside = mode_folder / f".replaced-{name}-{digest_of(folder)[:8]}"
            LOG.warning("the store has another %s %s: ours lies in %s", mode_folder.name, name, aside.name)
            folder.rename(aside)
        with written_whole(folder) as empty:
            self._store.pull(mode_folder.name, name, digest, empty)


@dataclass(frozen=True, slots=True)
class _Change:
    store: Store
    mode_folder: Path
    tag: str | None
    shared: Shared

    def publish(self, state: str) -> None:
        """As `sharing.Change.publish`."""
        mode, before = self.mode_folder.name, read_record(self.mode_folder).versions
        _write_record(self.mode_folder, Record(versions=before))  # whatever happens, it is to be looked at again
        there = complete_versions(self.mode_folder)
        added = {name: digest_of(self.mode_folder / name) for name in there if name not in self.shared.versions}
        gone = {name for name in before if name not in there}
        kept = {name: digest for name, digest in self.shared.versions.items() if name not in gone}
        now = Shared(versions=kept | added, state=State.model_validate_json(state))
        for name, digest in added.items():
            self.store.push(mode, name, digest, self.mode_folder / name)
        tag = self._swap(now)
        _write_state(self.mode_folder, now.state)
        here = {name: now.versions[name] for name in there}
        _write_record(self.mode_folder, Record(tag=tag if here == now.versions else None, versions=here))
        for name in gone:
            with suppress(PublicError):  # nobody asks for it any more
                self.store.remove(mode, name, before[name])

    def _swap(self, now: Shared) -> str:
        """Let it be what all sites see; the tag. An answer that was lost on its way is asked for once more."""
        content, mode = (now.model_dump_json(indent=1) + "\n").encode(), self.mode_folder.name
        try:
            with answering():
                return self.store.documents.swap(mode, content, self.tag)
        except (Moved, PublicError) as error:
            with answering():
                found = self.store.documents.read(mode)
            if found is not None and found.content == content:
                return found.tag
            if isinstance(error, Moved):
                raise ChangedElsewhere(mode=mode) from error
            raise


def open_site(settings: Settings) -> Site | None:
    """The site that MODELS_STORE makes of `models/`, through which all changes of this process go; None without one.

    Raises:
        ConfigError: the setting is wrong.
    """
    if settings.models_store is None:
        return None
    book = open_book(settings)
    site = Site(settings.models_dir, open_store(settings), shares_records=book is not None)
    attach(settings.models_dir, site)
    return site


def read_record(mode_folder: Path) -> Record:
    """What this folder was made equal to; nothing where nobody knows."""
    try:
        return Record.model_validate_json((mode_folder / _RECORD).read_bytes())
    except (OSError, ValidationError):
        return Record()


def _write_record(mode_folder: Path, record: Record) -> None:
    write_file(mode_folder / _RECORD, json.dumps(record.model_dump(), ensure_ascii=False) + "\n")


def _write_state(mode_folder: Path, state: State) -> None:
    write_file(mode_folder / STATE, state.model_dump_json(indent=1) + "\n")
