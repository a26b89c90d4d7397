"""How often a client has come: a moving window, counted by this process or by all that share a database.

Not by the wall clock: a machine whose clock is set neither locks clients out nor lets them in. The library `limits`,
which reads the rates, would count by it, and could share what it counts through a service of its own only.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from typing import Protocol

from sqlalchemy import delete, func, insert, or_, select, text
from sqlalchemy.orm import Session

from app.feedback.database import Database
from app.feedback.tables import RateHit
from app.feedback.trouble import one_line

LOG = logging.getLogger(__name__)
PATIENCE_S = 2
"""How long a request waits for the database before this process counts alone."""
AGAIN_S = 10.0
"""Until the next try, where the database does not answer."""
SWEEP_S = 60.0
"""How often what no longer counts is removed."""
_SWEEPING = 0x73776565
"""The advisory lock of PostgreSQL's under which it is: "swee"."""


class Hits(Protocol):
    """Who counts. Safe to call from many threads."""

    def hit(self, key: str, limit: int, window_s: float) -> float:
        """Count one request of `key`, of which the last `window_s` seconds may hold `limit`.

        0 where it was counted; else the seconds until there is room, and it was not. A key has always the same limit.
        """

    def close(self) -> None:
        """Let go of what is held."""


class OwnHits:
    """Of this process, in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moments: dict[str, deque[float]] = {}
        self._expires: dict[str, float] = {}
        self._sweep_at = 0.0
        self._lock = threading.Lock()

    def hit(self, key: str, limit: int, window_s: float) -> float:
        """As `Hits.hit`."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            moments = self._moments.setdefault(key, deque(maxlen=limit))
            if len(moments) == limit and moments[0] > now - window_s:
                return moments[0] + window_s - now
            moments.append(now)
            self._expires[key] = now + window_s
            return 0.0

    def close(self) -> None:
        """Nothing is held but memory."""

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._moments)

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        for key in [key for key, expires in self._expires.items() if expires < now]:
            del self._moments[key], self._expires[key]


class SharedHits:
    """Of all that share a database: the workers of a server in a file of SQLite's, several machines in PostgreSQL.

    Its moments are of this machine's monotonic clock, or of PostgreSQL's: one clock for all who count together.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # SQLite has one writer; its own waiting is by sleeping, which is slow for the threads of one process.
        self._in_turn: AbstractContextManager[object] = threading.Lock() if database.is_sqlite else nullcontext()
        self._has_table = not database.is_sqlite  # PostgreSQL's is made by the migrations
        self._sweep_at = 0.0

    def hit(self, key: str, limit: int, window_s: float) -> float:
        """As `Hits.hit`.

        Raises:
            SQLAlchemyError: the database is away, or held by another for longer than it waits.
        """
        digest = blake2b(key.encode("utf-8", "replace"), digest_size=16).digest()
        with self._in_turn:
            self._make_table()
            with self._database.writing() as session:
                now = self._enter(session, int.from_bytes(digest[:8], signed=True))
                counted = select(RateHit.moment).where(RateHit.key == digest.hex(), RateHit.moment <= now)
                oldest = session.scalar(counted.order_by(RateHit.moment.desc()).offset(limit - 1).limit(1))
                if oldest is not None and oldest > now - window_s:
                    return float(oldest + window_s - now)
                session.execute(insert(RateHit).values(key=digest.hex(), moment=now, expires=now + window_s))
            self._sweep()
        return 0.0

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()

    def _make_table(self) -> None:
        if not self._has_table:
            with self._database.writing() as session:
                RateHit.metadata.create_all(session.connection(), tables=[RateHit.metadata.tables["rate_hits"]])
            self._has_table = True

    def _enter(self, session: Session, lock: int) -> float:
        """Wait for one's turn, which ends with the transaction; the time then."""
        if self._database.is_sqlite:
            return time.monotonic()
        session.execute(select(func.pg_advisory_xact_lock(lock)))
        return float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)

    def _sweep(self) -> None:
        """Once in a while, one process at a time: remove what no longer counts, or lies ahead of a clock set back."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + SWEEP_S
        with self._database.writing() as session:
            now = self._enter(session, _SWEEPING)
            session.execute(delete(RateHit).where(or_(RateHit.expires < now, RateHit.moment > now + SWEEP_S)))


class GuardedHits:
    """Shared ones; while their database is away this process counts alone, so that nobody is refused because of it."""

    def __init__(self, shared: Hits) -> None:
        self._shared = shared
        self._own = OwnHits()
        self._again_at = 0.0
        self._is_away = False

    def hit(self, key: str, limit: int, window_s: float) -> float:
        """As `Hits.hit`; never waits long. The log says once that the database is away."""
        if time.monotonic() < self._again_at:
            return self._own.hit(key, limit, window_s)
        try:
            seconds = self._shared.hit(key, limit, window_s)
        except Exception as error:  # whatever a database's driver says
            self._again_at = time.monotonic() + AGAIN_S
            if not self._is_away:
                LOG.warning("Rates are counted by each worker alone until the database answers: %s", one_line(error))
            self._is_away = True
            return self._own.hit(key, limit, window_s)
        if self._is_away:
            LOG.info("Rates are counted by all workers together again.")
        self._is_away = False
        return seconds

    def close(self) -> None:
        """Let go of what is held."""
        self._shared.close()
