"""The database of this installation: SQLite under `models/`, or the PostgreSQL that `DATABASE_URL` names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

BUSY_S = 10
"""How long SQLite waits for another process's write."""


class Database:
    """An engine with the settings that several processes on one SQLite file need. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        address = make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        self.url = address
        self.is_sqlite = address.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": BUSY_S}} if self.is_sqlite else {"pool_pre_ping": True}
        self.engine: Engine = create_engine(address, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, undone where it fails."""
        with Session(self.engine) as session, session.begin():
            yield session

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - sqlite3's connection
    """Readers beside a writer, every commit on the disk, references that hold."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
