"""Which jobs the sites run that share a store and a PostgreSQL: a mode has one at a time, wherever, and all are listed.

A job's own process says every few seconds that it lives. One that has been silent for a minute was killed, or its
machine was; until then nobody else begins, so that a database away for less costs no job, and no order of jobs.
"""

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import NotSaved
from app.registry.documents import connected

LOG = logging.getLogger(__name__)
BEAT_S = 3.0
LOST_S = 60
"""Silent for so long, a job is no more."""
_KEPT = 100
"""So many that have ended are remembered."""
_LOCK = 0x6A6F6273
"""The advisory lock of PostgreSQL's under which jobs begin: "jobs"."""
_LIVES = f"NOT is_over AND seen > clock_timestamp() - interval '{LOST_S} s'"
_ROWS = f"SELECT about, {_LIVES} FROM site_jobs"  # noqa: S608 - our own words


class JobBook:
    """The table `site_jobs`. `about` is a job as `jobs.described` has it."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)

    def enter(self, id_: str, mode: str, started: datetime, about: dict[str, Any], *, over: list[str]) -> bool:
        """Let a job begin, unless another of its mode runs anywhere; `over`: this site's own that run no more.

        Raises:
            NotSaved: the database does not answer.
        """
        try:
            with connected(self._url) as connection:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                connection.execute("UPDATE site_jobs SET is_over = true WHERE id = ANY(%s) AND NOT is_over", (over,))
                asked = f"SELECT 1 FROM site_jobs WHERE mode = %s AND {_LIVES}"  # noqa: S608
                if connection.execute(asked, (mode,)).fetchone():
                    return False
                connection.execute(
                    "DELETE FROM site_jobs WHERE is_over AND id NOT IN "
                    "(SELECT id FROM site_jobs ORDER BY started DESC LIMIT %s)",
                    (_KEPT,),
                )
                connection.execute(
                    "INSERT INTO site_jobs (id, mode, started, seen, is_over, is_unwanted, about) "
                    "VALUES (%s, %s, %s, clock_timestamp(), false, false, %s)",
                    (id_, mode, started, json.dumps(about, ensure_ascii=False)),
                )
        except ConnectionError as error:
            LOG.warning("A job cannot begin: %s", error)
            raise NotSaved(retry_after_s=10) from error
        return True

    def tell(self, id_: str, about: dict[str, Any], *, is_over: bool = False) -> bool:
        """Say how a job goes; whether somebody wants it to end. While the database is away nobody hears it."""
        try:
            with connected(self._url) as connection:
                row = connection.execute(
                    "UPDATE site_jobs SET seen = clock_timestamp(), about = %s, is_over = %s "
                    "WHERE id = %s AND NOT is_over RETURNING is_unwanted",
                    (json.dumps(about, ensure_ascii=False), is_over, id_),
                ).fetchone()
        except ConnectionError:
            return False
        return row is not None and bool(row[0])

    def all(self) -> list[dict[str, Any]]:
        """Every job that is remembered; none while the database is away."""
        try:
            with connected(self._url) as connection:
                rows = connection.execute(_ROWS).fetchall()
        except ConnectionError as error:
            LOG.warning("The jobs of other sites cannot be read: %s", error)
            return []
        return [_described(*row) for row in rows]

    def find(self, id_: str) -> dict[str, Any] | None:
        """One job; None where there is none, or while the database is away."""
        return next((job for job in self.all() if job["id"] == id_), None)

    def cancel(self, id_: str) -> bool:
        """Ask the site that runs a job to end it; whether there is such a job.

        Raises:
            NotSaved: the database does not answer.
        """
        try:
            with connected(self._url) as connection:
                asked = "UPDATE site_jobs SET is_unwanted = true WHERE id = %s RETURNING id"
                return connection.execute(asked, (id_,)).fetchone() is not None
        except ConnectionError as error:
            raise NotSaved(retry_after_s=10) from error


def _described(about: str, lives: bool) -> dict[str, Any]:
    """A job as its site described it last; one that fell silent has failed."""
    job: dict[str, Any] = json.loads(about)
    return job if lives or job["state"] != "running" else {**job, "state": "failed"}


_books: dict[Path, JobBook] = {}


def open_book(settings: Settings) -> JobBook | None:
    """The book of the sites that share a store and a PostgreSQL, from now on also `book_of` this `models/`."""
    if settings.models_store is None or not (settings.database_url or "").startswith("postgres"):
        return None
    book = JobBook(settings.database_url or "")
    _books[settings.models_dir.resolve()] = book
    return book


def book_of(models_dir: Path) -> JobBook | None:
    """The book that was opened in this process for that `models/`; None on one machine."""
    return _books.get(models_dir.resolve()) if _books else None
