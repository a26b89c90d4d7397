"""Jobs of two sites on one PostgreSQL: one a mode, listed and cancelled at both, whatever becomes of a process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app.config import Settings
from app.errors import NotFound, NotSaved
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.registry import job_book, jobs
from app.registry.all_jobs import cancel_anywhere, find_described, list_described
from app.registry.job_book import open_book
from app.registry.jobs import Job, JobBusy
from tests.databases import PostgreSQL, postgresql_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with postgresql_server() as started:
        yield started


@pytest.fixture
def url(server: PostgreSQL) -> str:
    address = server.new_database()
    database = Database(address)
    migrate(database)
    database.close()
    return address


@pytest.fixture
def two(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """The `models/` of two sites, whose jobs run for five minutes unless somebody ends them."""
    slow = tmp_path / "sitecustomize.py"  # every process of a job reads it; the command itself then waits
    slow.write_text("import sys, time\nif 'linger' in sys.argv: time.sleep(300)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MODELS_STORE", f"file://{tmp_path}/store")
    monkeypatch.setenv("DATABASE_URL", url)
    folders = (tmp_path / "here", tmp_path / "there")
    for folder in folders:
        folder.mkdir()
        open_book(Settings(models_dir=folder, models_store="file:///unused", database_url=url))
    yield folders
    for folder in folders:
        for job in jobs.list_jobs(folder):
            jobs.cancel(folder, job)
        job_book._books.pop(folder.resolve())


def start(folder: Path, mode: str = "birds", *arguments: str) -> Job:
    return jobs.start(folder, "train", mode, [*(arguments or ("linger",))])


def until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.1)


def process_of(folder: Path, job: Job) -> int:
    return int((folder / ".jobs" / job.id / "process").read_text())


def test_a_mode_has_one_job_at_a_time_over_both_sites_and_another_mode_its_own(two: tuple[Path, Path]) -> None:
    here, there = two
    job = start(here)
    with pytest.raises(JobBusy, match="Another job is at work on the mode birds"):
        start(there)
    other = start(there, "fish")
    assert [one["id"] for one in list_described(here)] == [one["id"] for one in list_described(there)]
    assert {one["id"]: one["state"] for one in list_described(there)} == {job.id: "running", other.id: "running"}
    jobs.cancel(here, job)
    assert find_described(there, job.id)["state"] == "cancelled"
    start(there)


def test_how_a_job_ended_and_what_it_said_is_told_at_the_other_site(two: tuple[Path, Path]) -> None:
    here, there = two
    job = start(here, "birds", "no-such-command")
    until(lambda: find_described(there, job.id)["state"] == "failed")
    assert "No such command" in find_described(there, job.id)["output"]
    assert find_described(there, job.id) == find_described(here, job.id)
    start(there)


def test_a_job_is_cancelled_from_the_other_site(two: tuple[Path, Path]) -> None:
    here, there = two
    job = start(here)
    cancel_anywhere(there, job.id)
    until(lambda: find_described(there, job.id)["state"] == "cancelled")
    until(lambda: jobs.state_of(here, jobs.read_job(here, job.id)) == "cancelled")
    with pytest.raises(NotFound):
        cancel_anywhere(there, "nothing")


def test_a_killed_job_frees_its_mode_at_its_own_site_at_once_and_elsewhere_after_a_while(
    two: tuple[Path, Path], url: str
) -> None:
    here, there = two
    killed = start(here)
    os.killpg(process_of(here, killed), signal.SIGKILL)
    until(lambda: jobs.state_of(here, killed) == "failed")
    with pytest.raises(JobBusy):
        start(there)  # nobody there can know
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE site_jobs SET seen = seen - interval '60 s'")
    assert find_described(there, killed.id)["state"] == "failed"
    second = start(there)
    jobs.cancel(there, second)
    again = start(here)
    os.killpg(process_of(here, again), signal.SIGKILL)
    until(lambda: jobs.state_of(here, again) == "failed")
    start(here)


def test_while_the_database_is_away_jobs_go_on_and_none_begins(two: tuple[Path, Path], server: PostgreSQL) -> None:
    here, there = two
    job = start(here)
    server.stop()
    try:
        with pytest.raises(NotSaved):
            start(there)
        assert [one["id"] for one in list_described(here)] == [job.id]
        assert list_described(there) == []
        time.sleep(2 * job_book.BEAT_S)
        assert jobs.state_of(here, job) == "running"
    finally:
        server.start()
    assert find_described(there, job.id)["state"] == "running"
    with pytest.raises(JobBusy):
        start(there)


def test_one_machine_keeps_no_book(tmp_path: Path) -> None:
    assert open_book(Settings(models_dir=tmp_path)) is None
    assert open_book(Settings(models_dir=tmp_path, database_url="postgresql://somewhere/wanwu")) is None
