"""What is forgotten: corrections past their time, everything at a word, and what belongs to nothing any more."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, delete, false, or_, select, text
from sqlalchemy.orm import Session

from app.feedback.database import Database
from app.feedback.pictures import folder_of, guarded, in_store, path_of, remove_files, remove_rows, shares_pictures
from app.feedback.tables import Correction, Picture
from app.registry.state import now

_IN_PASSING = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of corrections, and how many files, are gone."""

    corrections: int
    pictures: int


def prune(database: Database, models_dir: Path, days: int | None, *, rejected: bool = False) -> Forgotten:
    """Forget the corrections sent more than `days` ago, accepted ones too, with their pictures; then sweep.

    `rejected`: those that a reviewer turned down, however new, as well.
    Killed at any point, it leaves files that belong to no row, which the next call removes.
    """
    old: ColumnElement[bool] = false() if days is None else Correction.created < now() - timedelta(days=days)
    turned_down: ColumnElement[bool] = Correction.status == "rejected" if rejected else false()
    return _forget(database, models_dir, or_(old, turned_down))


def delete_everything(database: Database, models_dir: Path) -> Forgotten:
    """Forget all corrections and all pictures. The counts of predictions stay: they know no picture and no person."""
    forgotten = _forget(database, models_dir, Correction.id.is_not(None))
    if database.is_sqlite:
        with database.engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))  # what was written stands there a while longer
    return forgotten


def _forget(database: Database, models_dir: Path, which: ColumnElement[bool]) -> Forgotten:
    with guarded(models_dir):
        with database.writing() as session:
            corrections = session.execute(delete(Correction).where(which)).rowcount  # type: ignore[attr-defined]
            before = set(session.scalars(select(Picture.sha256)))
            stored = in_store(models_dir)
            if database.is_sqlite or shares_pictures(models_dir):
                _sweep_lost(session, models_dir, stored)
            _sweep_unused(session)
            known = set(session.scalars(select(Picture.sha256)))
        new = now() - _IN_PASSING  # another site's file may be there a moment before its row
        strangers = [sha for sha, moment in stored.items() if sha not in known and (sha in before or moment < new)]
        remove_files(models_dir, strangers)
        return Forgotten(corrections, len(_sweep_files(models_dir, known) | set(strangers)))


def _sweep_lost(session: Session, models_dir: Path, stored: Container[str]) -> None:
    """Remove pictures' rows without a file; but where no folder is, it may be unmounted. `stored`: in the sites' store.

    Not for servers that have one PostgreSQL and no store: what is not here may well lie with another of them.
    """
    if folder_of(models_dir).is_dir():
        rows = session.scalars(select(Picture.sha256)).all()
        remove_rows(session, [sha for sha in rows if sha not in stored and not path_of(models_dir, sha).exists()])


def _sweep_unused(session: Session) -> None:
    """Remove pictures' rows without a correction."""
    used = set(session.scalars(select(Correction.picture).where(Correction.picture.is_not(None))))
    remove_rows(session, [sha for sha in session.scalars(select(Picture.sha256)).all() if sha not in used])


def _sweep_files(models_dir: Path, known: set[str]) -> set[str]:
    """Remove files without a row, half-written ones too; their names, without the ending."""
    folder = folder_of(models_dir)
    strangers = [path for path in folder.iterdir() if path.stem not in known] if folder.is_dir() else []
    for path in strangers:
        path.unlink()
    return {path.stem for path in strangers}
