"""What is forgotten: corrections past their time, everything at a word, and what belongs to nothing any more."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, delete, false, or_, select, text
from sqlalchemy.orm import Session

from app.feedback.database import Database
from app.feedback.pictures import folder_of, guarded, path_of, remove_rows
from app.feedback.tables import Correction, Picture
from app.registry.state import now


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
            _sweep_rows(session, models_dir)
            known = set(session.scalars(select(Picture.sha256)))
        return Forgotten(corrections, _sweep_files(models_dir, known))


def _sweep_rows(session: Session, models_dir: Path) -> None:
    """Remove pictures' rows without a correction, and without a file; but where no folder is, it may be unmounted."""
    used = set(session.scalars(select(Correction.picture).where(Correction.picture.is_not(None))))
    rows = session.scalars(select(Picture.sha256)).all()
    lost = {sha for sha in rows if not path_of(models_dir, sha).exists()} if folder_of(models_dir).is_dir() else set()
    remove_rows(session, [sha for sha in rows if sha not in used or sha in lost])


def _sweep_files(models_dir: Path, known: set[str]) -> int:
    """Remove files without a row, half-written ones too; how many."""
    folder = folder_of(models_dir)
    strangers = [path for path in folder.iterdir() if path.stem not in known] if folder.is_dir() else []
    for path in strangers:
        path.unlink()
    return len(strangers)
