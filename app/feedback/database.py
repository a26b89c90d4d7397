"""The database of this installation: SQLite under `models/`, or the PostgreSQL that `DATABASE_URL` names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from app.errors import ConfigError

BUSY_S = 10
"""How long a write waits for another process's, and a request for a connection."""
_CONNECT_S = 5
_SYSTEMS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class Database:
    """An engine with the settings that several processes on one database need. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Nothing is opened yet: a database that is away is an error of whoever asks it something.

        Raises:
            ConfigError: `url` is none, or names a system that is neither SQLite nor PostgreSQL.
        """
        self.url = _read(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        options: dict[str, Any] = (
            {"connect_args": {"timeout": BUSY_S}}
            if self.is_sqlite
            else {
                "connect_args": {"connect_timeout": _CONNECT_S, "options": f"-c lock_timeout={BUSY_S}s"},
                "pool_pre_ping": True,
            }
        )
        self.engine: Engine = create_engine(self.url, pool_timeout=BUSY_S, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, undone where it fails."""
        with Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that reads before it writes: on SQLite no other process writes in between.

        On PostgreSQL what is read must be read `with_for_update()`.
        """
        with self.session() as session:
            if self.is_sqlite:
                session.execute(text("BEGIN IMMEDIATE"))
            yield session

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def _read(url: str) -> URL:
    try:
        address = make_url(url)
        return address.set(drivername=_SYSTEMS[address.get_backend_name()])
    except (ArgumentError, KeyError):
        raise ConfigError(
            "The setting DATABASE_URL is wrong: it must read like postgresql://user:password@host/name, "
            "or sqlite:////path/of/a/file.db."
        ) from None


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - sqlite3's connection
    """Readers beside a writer, every commit on the disk, references that hold, and nothing left of what is deleted."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
