"""Counting predictions: nothing lost and nothing twice, whoever counts and wherever the database has gone."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from app.feedback import counts as counts_module
from app.feedback.counts import Counts, Sums
from app.feedback.database import Database
from app.feedback.figures import trial_report
from app.feedback.tables import Correction, Count
from app.registry.state import activate, new_trial, set_trial
from tests.databases import migrate


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "EVERY_S", 0.02)


def rows(database: Database) -> dict[tuple[str, str, str], Count]:
    with database.session() as session:
        found = {(row.mode, row.version, row.role): row for row in session.scalars(select(Count))}
        session.expunge_all()
    return found


def until(holds: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def count_in_threads(counters: list[Counts], times: int) -> None:
    """Eight threads, each counting two pictures `times` times, one of them unknown, in turn for two versions."""

    def count(number: int) -> None:
        for turn in range(times):
            version = ("v1", "v2")[turn % 2]
            counters[number % len(counters)].add("birds", version, "split", Sums(2, unknown=1, infer_s=0.25))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_threads_and_two_processes_worth_of_counts_add_up_exactly(database: Database) -> None:
    counters = [Counts(database), Counts(database)]
    for one in counters:
        one.start()
    count_in_threads(counters, times=500)
    for one in counters:
        one.close()
    found = rows(database)
    assert set(found) == {("birds", "v1", "split"), ("birds", "v2", "split")}
    for row in found.values():
        assert (row.pictures, row.unknown, row.errors, row.infer_s) == (4000, 2000, 0, 500.0)
        assert row.day == datetime.now(UTC).date()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "away" / "wanwu.db"


@pytest.fixture
def away(file: Path) -> Iterator[Database]:
    """A database whose folder is not there yet."""
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def test_a_database_that_is_away_for_a_while_loses_nothing_and_nothing_is_counted_twice(
    away: Database, file: Path
) -> None:
    counts = Counts(away)
    counts.start()
    count_in_threads([counts], times=100)
    time.sleep(0.2)
    file.parent.mkdir()
    migrate(away)
    until(lambda: rows(away))
    count_in_threads([counts], times=100)
    counts.close()
    assert sum(row.pictures for row in rows(away).values()) == 2 * 8 * 100 * 2


def test_counting_does_not_wait_for_a_database_that_does_not_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, answers = Counts(database), threading.Event()
    write = counts._write
    monkeypatch.setattr(counts, "_write", lambda rows: answers.wait(10) and write(rows))
    counts.start()
    counts.add("birds", "v1", "active", Sums(1))
    time.sleep(0.1)
    started = time.perf_counter()
    for _ in range(100):
        counts.add("birds", "v1", "active", Sums(1))
    assert time.perf_counter() - started < 5
    answers.set()
    counts.close()
    assert rows(database)["birds", "v1", "active"].pictures == 101


def test_the_log_says_once_that_the_database_is_away(away: Database, caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts(away)
    counts.add("birds", "v1", "active", Sums(1))
    for _ in range(3):
        counts.flush()
    assert len([record for record in caplog.records if "wait in memory" in record.message]) == 1


def test_the_figures_are_those_of_the_trial_s_versions_roles_and_days(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "birds"
    for version in ("v1", "v2"):
        (folder / version).mkdir(parents=True)
        (folder / version / "manifest.json").write_text("{}")
    activate(folder, "v1", action="first", by="a test", why="")
    assert trial_report(database, tmp_path, "birds") == {
        "mode": "birds", "active": "v1", "trial": None, "versions": []
    }  # fmt: skip
    set_trial(folder, new_trial("v2", "shadow", 1.0), by="a test", why="")
    counts = Counts(database)
    counts.add("birds", "v1", "active", Sums(4, unknown=1, infer_s=0.1))
    counts.add("birds", "v2", "shadow", Sums(4, unknown=2, errors=1, compared=4, agreed=3, infer_s=0.2))
    counts.add("birds", "v2", "split", Sums(9))
    counts.add("cars", "v2", "shadow", Sums(9))
    counts.flush()
    now = datetime.now(UTC)
    with database.session() as session:
        session.add(Count(day=now.date() - timedelta(1), mode="birds", version="v2", role="shadow", pictures=9))
        for number, moment in enumerate((now - timedelta(1), now + timedelta(1))):
            session.add(
                Correction(
                    id=str(number), request_id=str(number), created=moment, mode="birds", version="v1", answer="owl",
                    confidence=0.9, kind="none", status="pending",
                )
            )  # fmt: skip
    active, shadow = trial_report(database, tmp_path, "birds")["versions"]
    assert active == {
        "version": "v1", "role": "active", "pictures": 4, "unknown": 1, "unknown_rate": 0.25, "errors": 0,
        "compared": 0, "agreed": 0, "agreement": None, "mean_infer_ms": 25.0, "corrections": 1,
    }  # fmt: skip
    assert (shadow["unknown_rate"], shadow["agreement"], shadow["mean_infer_ms"]) == (0.5, 0.75, 50.0)
    assert (shadow["pictures"], shadow["errors"], shadow["corrections"]) == (4, 1, 0)
