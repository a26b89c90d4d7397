"""The review queue: what is said of one picture, or of one that looks the same, is one entry; decided once for all."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import Session

from app.errors import BadParameter, Conflict, NotFound
from app.feedback.corrections import clean
from app.feedback.database import Database
from app.feedback.tables import Correction, Picture
from app.feedback.trouble import told
from app.registry.state import now

Status = Literal["pending", "accepted", "rejected"]
Action = Literal["accept", "relabel", "reject", "undo"]
MAX_PAGE = 200

_root = func.coalesce(Picture.same_as, Picture.sha256, Correction.id)
"""What joins corrections: the earliest picture that looks the same; one without a picture stands alone."""
_TOGETHER = (Correction.mode, Correction.kind, Correction.label, Correction.status, Correction.final_label)
"""What they must have in common besides: a fixed camera's good and bad parts look alike, and are not the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The earliest correction of an entry, and how many are joined in it."""

    correction: Correction
    count: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, oldest first; `total`: of all pages; `after` leads to the next one, None on the last."""

    entries: list[Entry]
    total: int
    after: str | None


def list_entries(
    database: Database, *, status: Status = "pending", mode: str | None = None, after: str = "", limit: int = 50
) -> Page:
    """A page of the queue.

    Raises:
        BadParameter: `after` is none that a page gave. NotSaved: the database does not answer.
    """
    joined = _joined(status, mode).subquery()
    start = _start(after)
    with told(), database.session() as session:
        total = session.scalar(select(func.count()).select_from(joined).where(joined.c.place_in_entry == 1)) or 0
        firsts = select(Correction, joined.c.count).join(joined, joined.c.id == Correction.id)
        firsts = firsts.where(joined.c.place_in_entry == 1).order_by(Correction.created, Correction.id)
        if start:
            firsts = firsts.where(tuple_(Correction.created, Correction.id) > tuple_(*start))
        rows = session.execute(firsts.limit(limit + 1)).all()
        session.expunge_all()
    entries = [Entry(row[0], row[1]) for row in rows[:limit]]
    return Page(entries, total, _mark(entries[-1].correction) if len(rows) > limit else None)


def read_entry(database: Database, correction_id: str) -> Entry:
    """The entry that a correction belongs to, as it is now; told by that correction.

    Raises:
        NotFound: there is no such correction. NotSaved: the database does not answer.
    """
    with told(), database.session() as session:
        row = session.get(Correction, correction_id)
        if row is None:
            raise NotFound
        members = _members(session, row, to_write=False)
        session.expunge_all()
    return Entry(row, len(members))


def count_entries(database: Database) -> dict[str, dict[Status, int]]:
    """How many entries each mode has in each status; a mode without any correction is not among them.

    Raises:
        NotSaved: the database does not answer.
    """
    joined = _joined().subquery()
    asked = select(Correction.mode, Correction.status, func.count()).join(joined, joined.c.id == Correction.id)
    asked = asked.where(joined.c.place_in_entry == 1).group_by(Correction.mode, Correction.status)
    counts: dict[str, dict[Status, int]] = {}
    with told(), database.session() as session:
        for mode, status, count in session.execute(asked):
            none: dict[Status, int] = {"pending": 0, "accepted": 0, "rejected": 0}
            counts.setdefault(mode, none)[cast(Status, status)] = count
    return counts


def decide(
    database: Database, correction_id: str, action: Action, *, revision: int | None, by: str, label: str | None = None
) -> Entry:
    """Review the whole entry that a correction belongs to; one that is decided may be decided anew.

    `revision`: the one that the reviewer saw, None to decide whatever it is. Two at once: the second is told.

    Raises:
        NotFound: there is no such correction. Conflict: it is of another revision, or there is nothing to undo.
        BadParameter: no label is left. NotSaved: the database does not answer.
    """
    with told(), database.writing() as session:
        row = session.get(Correction, correction_id)
        members = _members(session, row, to_write=True) if row else []
        if row is None or row not in members:
            raise NotFound
        if revision is not None and row.revision != revision:
            raise Conflict
        changes = _changes(row, action, label) | {"reviewer": by[:64], "reviewed": now()}
        for member in members:
            for name, value in changes.items():
                setattr(member, name, value)
            member.revision += 1
        session.flush()
        session.expunge_all()
    return Entry(row, len(members))


def find(database: Database, correction_id: str) -> Correction:
    """One correction.

    Raises:
        NotFound: there is none. NotSaved: the database does not answer.
    """
    with told(), database.session() as session:
        row = session.get(Correction, correction_id)
        if row is None:
            raise NotFound
        session.expunge(row)
        return row


def _changes(row: Correction, action: Action, label: str | None) -> dict[str, Any]:
    """The columns that an action sets. An accepted "none of these" has no label: it teaches no class."""
    if action == "undo":
        if row.status == "pending":
            raise Conflict
        return {"status": "pending", "final_label": None}
    if action == "reject":
        return {"status": "rejected", "final_label": None}
    return {"status": "accepted", "final_label": clean(label or "") if action == "relabel" else row.label}


def _members(session: Session, row: Correction, *, to_write: bool) -> list[Correction]:
    """All that is joined with `row`, itself among them, as they are by now; `to_write`: locked first, in one order."""
    root = session.scalar(select(_root).select_from(_with_pictures()).where(Correction.id == row.id))
    joined = select(Correction.id).select_from(_with_pictures()).where(Correction.mode == row.mode, _root == root)
    asked = select(Correction).where(Correction.id.in_(joined)).order_by(Correction.id)
    asked = asked.with_for_update() if to_write else asked
    members = session.scalars(asked.execution_options(populate_existing=True)).all()
    return [member for member in members if _shared(member) == _shared(row)]


def _shared(row: Correction) -> list[str | None]:
    return [getattr(row, column.key) for column in _TOGETHER]


def _joined(status: Status | None = None, mode: str | None = None) -> Select[Any]:
    """Each correction's id, its place in its entry (1: the earliest), and how many the entry has."""
    entry: dict[str, Any] = {"partition_by": [*_TOGETHER, _root]}
    first_to_last = (Correction.created, Correction.id)
    asked: list[ColumnElement[bool]] = []
    if status is not None:
        asked.append(Correction.status == status)
    if mode is not None:
        asked.append(Correction.mode == mode)
    return (
        select(
            Correction.id,
            func.row_number().over(order_by=first_to_last, **entry).label("place_in_entry"),
            func.count().over(**entry).label("count"),
        )
        .select_from(_with_pictures())
        .where(*asked)
    )


def _with_pictures() -> Any:  # noqa: ANN401 - SQLAlchemy's join
    return Correction.__table__.outerjoin(Picture.__table__, Correction.picture == Picture.sha256)


def _mark(correction: Correction) -> str:
    return f"{correction.created.isoformat()}~{correction.id}"


def _start(after: str) -> tuple[datetime, str] | None:
    if not after:
        return None
    moment, _, name = after.partition("~")
    try:
        return datetime.fromisoformat(moment), name
    except ValueError:
        raise BadParameter(name="after", en="the 'after' of the page before", zh="上一页给出的 after") from None
