"""Rates: a moving window, the same whoever counts, whatever becomes of the database and of the clock."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app.feedback import rates
from app.feedback.database import Database
from app.feedback.rates import GuardedHits, Hits, OwnHits, SharedHits
from app.feedback.tables import RateHit

Move = Callable[[float], None]


@pytest.fixture(params=["own", "sqlite", "postgresql"])
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Hits, Move]]:
    """Who counts, and what makes its clock go on by so many seconds."""
    if request.param == "own":
        now = [1000.0]
        yield OwnHits(lambda: now[0]), lambda seconds: now.__setitem__(0, now[0] + seconds)
        return
    database = shared_database(request)

    def age(seconds: float) -> None:
        with database.writing() as session:
            older = {"moment": RateHit.moment - seconds, "expires": RateHit.expires - seconds}
            session.execute(update(RateHit).values(older))

    hits = SharedHits(database)
    yield hits, age
    hits.close()


def shared_database(request: pytest.FixtureRequest) -> Database:
    if request.param == "sqlite":
        return Database(f"sqlite:///{request.getfixturevalue('tmp_path') / 'rates.sqlite'}", is_lasting=False)
    database = Database(request.getfixturevalue("postgresql")(), patience_s=2)
    with database.writing() as session:
        RateHit.metadata.create_all(session.connection(), tables=[RateHit.metadata.tables["rate_hits"]])
    return database


def test_so_many_pass_then_none_until_the_oldest_is_out_of_the_window(counted: tuple[Hits, Move]) -> None:
    hits, move = counted
    assert [hits.hit("a", 3, 60) for _ in range(2)] == [0, 0]
    move(40)
    assert hits.hit("a", 3, 60) == 0
    assert hits.hit("a", 3, 60) == pytest.approx(20, abs=10)
    assert hits.hit("b", 3, 60) == 0, "another client has its own"
    move(21)
    assert [hits.hit("a", 3, 60) for _ in range(2)] == [0, 0]
    assert hits.hit("a", 3, 60) == pytest.approx(39, abs=10), "the window moves, it does not start again"


def test_what_was_refused_does_not_count(counted: tuple[Hits, Move]) -> None:
    hits, move = counted
    assert [hits.hit("a", 1, 60) > 0 for _ in range(5)] == [False, True, True, True, True]
    move(61)
    assert hits.hit("a", 1, 60) == 0


def test_of_many_at_once_exactly_so_many_pass(counted: tuple[Hits, Move]) -> None:
    hits, _ = counted
    with ThreadPoolExecutor(8) as callers:
        passed = list(callers.map(lambda _: hits.hit("a", 10, 60) == 0, range(40)))
    assert passed.count(True) == 10


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_two_that_share_a_database_count_together(database: Database, database_url: str) -> None:
    workers = [SharedHits(Database(database_url)) for _ in range(2)]
    with ThreadPoolExecutor(8) as callers:
        passed = list(callers.map(lambda number: workers[number % 2].hit("a", 10, 60) == 0, range(40)))
    for worker in workers:
        worker.close()
    assert passed.count(True) == 10


def test_what_no_longer_counts_is_forgotten(counted: tuple[Hits, Move], monkeypatch: pytest.MonkeyPatch) -> None:
    hits, move = counted
    for number in range(5):
        hits.hit(f"client {number}", 2, 60)
    move(61)
    hits.hit("another", 2, 60)
    if isinstance(hits, SharedHits):  # whose own clock did not go on
        hits._sweep_at = 0
        hits.hit("another", 2, 60)
        with hits._database.session() as session:
            assert session.scalar(select(func.count()).select_from(RateHit)) == 2
    else:
        assert len(hits) == 1


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_a_wall_clock_set_back_or_on_changes_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Database(f"sqlite:///{tmp_path / 'rates.sqlite'}", is_lasting=False)
    hits: Hits = OwnHits() if kind == "own" else SharedHits(shared)
    real = time.time
    for step, passing in ((0, [True, True]), (-86_400, [True, False]), (86_400, [False, False])):
        monkeypatch.setattr(time, "time", lambda step=step: real() + step)
        assert [hits.hit("a", 3, 60) == 0 for _ in range(2)] == passing
    shared.close()


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_clock_of_the_database_that_was_set_back_locks_nobody_out(database: Database) -> None:
    hits = SharedHits(database)
    assert [hits.hit("a", 1, 60) > 0 for _ in range(2)] == [False, True]
    with database.writing() as session:  # as if it had been counted before the clock went back by an hour
        session.execute(update(RateHit).values(moment=RateHit.moment + 3600, expires=RateHit.expires + 3600))
    assert hits.hit("a", 1, 60) == 0
    hits._sweep_at = 0
    hits.hit("b", 1, 60)
    with database.session() as session:
        assert session.scalar(select(func.count()).select_from(RateHit)) == 2, "the one ahead is gone"


class Away:
    """A database that never answers; `asked` is how often it was tried."""

    asked = 0

    def hit(self, key: str, limit: int, window_s: float) -> float:
        self.asked += 1
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None: ...


def test_while_the_database_is_away_each_process_counts_alone_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="app.feedback")
    away = Away()
    hits = GuardedHits(away)
    assert [hits.hit("a", 2, 60) > 0 for _ in range(4)] == [False, False, True, True]
    assert away.asked == 1, "it is not asked again and again"
    monkeypatch.setattr(rates, "AGAIN_S", 0.0)
    hits = GuardedHits(away)
    for _ in range(3):
        hits.hit("a", 9, 60)
    monkeypatch.setattr(hits, "_shared", OwnHits())
    hits.hit("a", 9, 60)
    said = [record.message for record in caplog.records]
    assert [("alone" in one, "together again" in one) for one in said] == [(True, False), (True, False), (False, True)]


def test_a_locked_file_keeps_a_request_waiting_for_a_moment_only(tmp_path: Path) -> None:
    file = tmp_path / "rates.sqlite"
    hits = GuardedHits(SharedHits(Database(f"sqlite:///{file}", patience_s=1, is_lasting=False)))
    assert hits.hit("a", 2, 60) == 0
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        assert [hits.hit("a", 2, 60) > 0 for _ in range(20)] == [False] * 2 + [True] * 18
        assert time.monotonic() - started < 10, "each waits"
    hits.close()


def test_counting_never_waits_for_the_disk(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'rates.sqlite'}", is_lasting=False)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 0
    database.close()
