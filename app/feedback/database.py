"""The database of this installation: SQLite under `models/`, or the PostgreSQL that `DATABASE_URL` names."""

import sqlite3
import time
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
_DEAD_S = 10
"""How long a connection over which nothing comes back is waited for."""
_FIRST_S = 1.0
"""For how long a file is tried that another process makes a WAL's at the same moment."""
_SYSTEMS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class Database:
    """An engine with the settings that several processes on one database need. Safe to share between threads."""

    def __init__(self, url: str, *, patience_s: int = BUSY_S, is_lasting: bool = True) -> None:
        """Nothing is opened yet: a database that is away is an error of whoever asks it something.

        `patience_s`: how long a write waits for another process's, and a request for a connection. `is_lasting`: False
        for what need not be there after a failure of power; SQLite then waits for no disk.

        Raises:
            ConfigError: `url` is none, or names a system that is neither SQLite nor PostgreSQL.
        """
        self.url = _read(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        options: dict[str, Any] = (
            {"connect_args": {"timeout": patience_s}}
            if self.is_sqlite
            else {"connect_args": _postgresql_options(patience_s), "pool_pre_ping": True}
        )
        # An error's text is for the log: without the values of its statement, which may be a person's words.
        self.engine: Engine = create_engine(self.url, pool_timeout=patience_s, hide_parameters=True, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite if is_lasting else _prepare_passing_sqlite)

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
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_passing_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401
    """Readers beside a writer, and no waiting for the disk."""
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=OFF")


def _use_wal(connection: Any) -> None:  # noqa: ANN401
    """Where two make the same new file a WAL's, SQLite tells the slower one at once that it is locked: try again."""
    until_s = time.monotonic() + _FIRST_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


def _postgresql_options(patience_s: int) -> dict[str, Any]:
    return {
        "connect_timeout": min(patience_s, _CONNECT_S),
        "tcp_user_timeout": min(patience_s, _DEAD_S) * 1000,
        "options": f"-c lock_timeout={patience_s}s",
    }
