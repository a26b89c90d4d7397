"""The jobs of all sites that share a store and a database; on one machine, those of `jobs`."""

from datetime import datetime
from pathlib import Path
from typing import Any

from app.errors import NotFound
from app.registry.job_book import book_of
from app.registry.jobs import cancel, described, list_jobs, read_job


def list_described(models_dir: Path) -> list[dict[str, Any]]:
    """All jobs for programs, the newest first; those of other sites, too, as they were a few seconds ago."""
    own = [described(models_dir, job) for job in list_jobs(models_dir)]
    book, ids = book_of(models_dir), {job["id"] for job in own}
    others = [job for job in (book.all() if book else []) if job["id"] not in ids]
    return sorted([*own, *others], key=lambda job: datetime.fromisoformat(job["started"]), reverse=True)


def find_described(models_dir: Path, id_: str) -> dict[str, Any]:
    """One of them. Raises NotFound where there is none."""
    try:
        return described(models_dir, read_job(models_dir, id_))
    except NotFound:
        book = book_of(models_dir)
        found = book.find(id_) if book else None
        if found is None:
            raise
        return found


def cancel_anywhere(models_dir: Path, id_: str) -> None:
    """End a job of this site now, or ask the site that runs it to, which takes a few seconds.

    Raises:
        NotFound: there is none. NotSaved: the sites' database does not answer.
    """
    try:
        cancel(models_dir, read_job(models_dir, id_))
    except NotFound:
        book = book_of(models_dir)
        if book is None or not book.cancel(id_):
            raise
