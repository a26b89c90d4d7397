"""What reviewers accepted, as pictures with labels: the next data set of a mode, together with its own."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.engine import Row

from app.feedback.database import Database
from app.feedback.pictures import find_picture, is_kept, path_of
from app.feedback.tables import Correction, Picture


@dataclass(frozen=True, slots=True)
class AcceptedPicture:
    """A kept picture and the label that a reviewer gave it."""

    correction_id: str
    path: Path
    label: str
    sha256: str


def accepted_pictures(database: Database, models_dir: Path, mode: str) -> list[AcceptedPicture]:
    """The accepted corrections with a kept picture, oldest first: one for each distinct picture.

    Of pictures that look the same under one label the earliest that is there stands for all. Of one file under several
    labels the newest review counts.
    """
    rows = [row for group in _groups(database, mode) for row in [_first_kept(group, models_dir)] if row is not None]
    return [AcceptedPicture(row.id, path_of(models_dir, row.picture), row.final_label, row.picture) for row in rows]


def stranger_pictures(database: Database, models_dir: Path, mode: str) -> list[Path]:
    """The kept pictures that a reviewer agrees to show none of the mode's classes, oldest first."""
    asked = (
        select(Correction.picture)
        .where(
            Correction.mode == mode,
            Correction.status == "accepted",
            Correction.kind == "none",
            Correction.final_label.is_(None),  # else the reviewer has found a name for it
            Correction.picture.is_not(None),
        )
        .order_by(Correction.created, Correction.id)
    )
    with database.session() as session:
        pictures = [picture for picture in dict.fromkeys(session.scalars(asked)) if picture]
    found = [find_picture(models_dir, picture) for picture in pictures]
    return [path for path in found if path is not None]


def count_new(database: Database, models_dir: Path, mode: str) -> int:
    """How many of them no version has learned from."""
    unused = (group for group in _groups(database, mode) if all(row.used_by is None for row in group))
    return sum(any(is_kept(models_dir, row.picture) for row in group) for group in unused)


def mark_used(database: Database, correction_ids: Iterable[str], version: str) -> None:
    """Note that `version` learned from these; what an earlier one learned from stays noted as that one's."""
    learned = list(correction_ids)
    with database.writing() as session:
        for start in range(0, len(learned), 500):
            some = learned[start : start + 500]
            session.execute(
                update(Correction).where(Correction.id.in_(some), Correction.used_by.is_(None)).values(used_by=version)
            )


def _first_kept(group: list[Row], models_dir: Path) -> Row | None:  # type: ignore[type-arg]
    """The earliest whose file is there: somebody may have removed files by hand."""
    return next((row for row in group if find_picture(models_dir, row.picture) is not None), None)


def _groups(database: Database, mode: str) -> Collection[list[Row]]:  # type: ignore[type-arg]
    """Accepted corrections with a picture and a label, by what they show and are called."""
    asked = (
        select(
            Correction.id,
            Correction.picture,
            Correction.final_label,
            Correction.used_by,
            Correction.reviewed,
            func.coalesce(Picture.same_as, Picture.sha256).label("root"),
        )
        .join(Picture, Correction.picture == Picture.sha256)
        .where(Correction.mode == mode, Correction.status == "accepted", Correction.final_label.is_not(None))
        .order_by(Correction.created, Correction.id)
    )
    with database.session() as session:
        rows = session.execute(asked).all()
    newest = {row.picture: row.final_label for row in sorted(rows, key=lambda row: row.reviewed)}
    groups: dict[tuple[str, str], list[Row]] = {}  # type: ignore[type-arg]
    for row in rows:
        if newest[row.picture] == row.final_label:
            groups.setdefault((row.root, row.final_label), []).append(row)
    return groups.values()
