"""What people say of answers: stored once each, to be changed or taken back; a picture only where they agreed."""

import logging
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.errors import BadParameter, Conflict
from app.feedback.database import Database
from app.feedback.pictures import add_row, guarded, path_of, remove_files, remove_rows, write_picture
from app.feedback.tables import Correction, Picture
from app.feedback.trouble import told
from app.registry.sharing import StoreAway
from app.registry.state import now
from app.vision.keeping import Kept
from app.vision.labels import visible_name

LOG = logging.getLogger(__name__)
Kind = Literal["label", "new", "none"]
MAX_LABEL = 100
"""Characters of a new name."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of one answer: as the columns of the table. `label` is None where `kind` is none.

    `sureness`: how sure the mode was that it was one of its classes; None where the sender did not say.
    """

    request_id: str
    place: int
    mode: str
    version: str
    answer: str
    confidence: float
    kind: Kind
    label: str | None
    sureness: float | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """The correction's `id`, with which its sender may take it back; its `status`; whether its picture is kept."""

    id: str
    status: str
    has_picture: bool


def clean(text: str) -> str:
    """A name as typed, without what cannot be seen: one line, single spaces.

    Raises:
        BadParameter: nothing is left, or more than `MAX_LABEL` characters.
    """
    name = visible_name(text)
    if not 0 < len(name) <= MAX_LABEL:
        raise BadParameter(
            name="label", en=f"a name of 1 to {MAX_LABEL} characters", zh=f" 1 到 {MAX_LABEL} 个字的名称"
        )
    return name


def save(database: Database, models_dir: Path, said: Said, picture: Kept | None) -> Saved:
    """Store a correction, or change the one that was sent of this answer before; its picture is kept, or is no more.

    The file comes first, then the row: a process that is killed in between leaves a file that `sweep` removes.

    Raises:
        Conflict: it says something else than before, and a reviewer has already decided.
        StorageFull: there is no room. NotSaved: the database does not answer. Either way nothing of it is kept.
    """
    with told(), guarded(models_dir):
        is_new_file = picture is not None and write_picture(models_dir, picture)
        try:
            with database.writing() as session:
                saved = _store(session, said, picture)
                abandoned = _abandon(session)
        except BaseException:
            if is_new_file and picture is not None:
                path_of(models_dir, picture.sha256).unlink(missing_ok=True)
            raise
        _remove(models_dir, abandoned)
    return saved


def take_back(database: Database, models_dir: Path, correction_id: str) -> bool:
    """Forget a correction and its picture, whatever a reviewer has made of it; says whether it was there.

    Raises:
        NotSaved: the database does not answer.
    """
    with told(), guarded(models_dir):
        with database.writing() as session:
            found = session.execute(delete(Correction).where(Correction.id == correction_id))
            abandoned = _abandon(session)
        _remove(models_dir, abandoned)
    return bool(found.rowcount)  # type: ignore[attr-defined]


def _store(session: Session, said: Said, picture: Kept | None) -> Saved:
    sha256 = picture.sha256 if picture else None
    if picture:
        add_row(session, picture)
    same_answer = (Correction.request_id == said.request_id) & (Correction.place == said.place)
    row = session.scalars(select(Correction).where(same_answer).with_for_update()).one_or_none()
    if row is None:
        row = Correction(id=uuid.uuid4().hex, created=now(), status="pending", picture=sha256, **asdict(said))
        session.add(row)
    elif (row.kind, row.label, row.picture) != (said.kind, said.label, sha256):
        if row.status != "pending":
            raise Conflict
        row.kind, row.label, row.picture = said.kind, said.label, sha256
        row.revision += 1
    session.flush()
    return Saved(row.id, row.status, row.picture is not None)


def _abandon(session: Session) -> list[str]:
    """Remove the rows of pictures that no correction speaks of any more; their hashes."""
    spoken_of = select(Correction.id).where(Correction.picture == Picture.sha256).exists()
    abandoned = list(session.scalars(select(Picture.sha256).where(~spoken_of)))
    remove_rows(session, abandoned)
    return abandoned


def _remove(models_dir: Path, hashes: Collection[str]) -> None:
    try:
        remove_files(models_dir, hashes)
    except StoreAway:
        LOG.warning("Pictures that nothing speaks of any more stay in the store until the next sweep.")
