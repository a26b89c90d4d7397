"""Counting predictions: sums in memory, added to the table `counts` every few seconds. No picture, and no person."""

import logging
import threading
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy.dialects import postgresql, sqlite

from app.feedback.database import Database
from app.feedback.tables import Count

LOG = logging.getLogger(__name__)
EVERY_S = 5.0
_LAST_WORD_S = 10.0
"""How long the end of a process waits for the database."""


@dataclass(slots=True)
class Sums:
    """What `feedback.tables.Count` sums up."""

    pictures: int = 0
    unknown: int = 0
    errors: int = 0
    compared: int = 0
    agreed: int = 0
    infer_s: float = 0.0

    def add(self, other: "Sums") -> None:
        """Add another's numbers to these."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_NUMBERS = tuple(field.name for field in fields(Sums))


class _Row(NamedTuple):
    day: date
    mode: str
    version: str
    role: str


class Counts:
    """The sums of this process. Safe to call from many threads; nobody who counts waits for the database.

    While the database is away they stay in memory: a row for each day, mode, version and role, however many pictures.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[_Row, Sums] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._work, name="counts", daemon=True)

    def add(self, mode: str, version: str, role: str, sums: Sums) -> None:
        """Count `sums` for today (UTC)."""
        self._merge({_Row(datetime.now(UTC).date(), mode, version, role): sums})

    def start(self) -> None:
        """Write every few seconds, in a thread, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, which writes once more; gives up on a database that does not answer."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_WORD_S)

    def flush(self) -> None:
        """Add the sums to the table now. Where the database is away they stay, and the log says so once."""
        with self._writing:
            with self._lock:
                rows, self._rows = self._rows, {}
            try:
                if rows:
                    self._write(rows)
            except Exception as error:  # whatever a database's driver says; the thread goes on
                self._merge(rows)
                if not self._is_away:
                    LOG.warning("the database does not take counts, they wait in memory: %s", error)
                self._is_away = True
            else:
                self._is_away = False

    def _work(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self.flush()
        self.flush()

    def _merge(self, rows: dict[_Row, Sums]) -> None:
        with self._lock:
            for row, sums in rows.items():
                self._rows.setdefault(row, Sums()).add(sums)

    def _write(self, rows: dict[_Row, Sums]) -> None:
        """One transaction; in the same order in every process, so that none waits for another in a circle."""
        insert: Any = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(Count)
        statement = statement.on_conflict_do_update(
            index_elements=list(_Row._fields),
            set_={name: getattr(Count, name) + statement.excluded[name] for name in _NUMBERS},
        )
        with self._database.session() as session:
            for row, sums in sorted(rows.items()):
                numbers = {name: getattr(sums, name) for name in _NUMBERS}
                session.execute(statement.values({**row._asdict(), **numbers}))
