"""How often one client may ask: `RATE_LIMIT`, whichever worker answers."""

import math
from dataclasses import dataclass

from flask import Flask, current_app, request
from limits import RateLimitItem, parse, parse_many

from app.config import Settings, workers_folder
from app.errors import RateLimited
from app.feedback.database import Database
from app.feedback.rates import PATIENCE_S, GuardedHits, Hits, OwnHits, SharedHits

_EXTENSION = "rate_limits"
_LOGINS = parse("10/minute")
"""Nobody mistypes a token more often; guessing it at this rate is hopeless."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may do, and who counts it."""

    rates: list[RateLimitItem]
    hits: Hits

    def close(self) -> None:
        """Let go of the database."""
        self.hits.close()


def init_app(app: Flask, settings: Settings) -> None:
    """Hold the limits ("60/minute;1000/day"), or none."""
    rates = parse_many(settings.rate_limit) if settings.rate_limit else []
    app.extensions[_EXTENSION] = Limits(rates, _hits(settings))


def check_rate() -> None:
    """Count the current request.

    Raises:
        RateLimited: its client has asked too often; it carries the seconds to wait.
    """
    _count(_limits().rates, "")


def check_logins() -> None:
    """Count an attempt to log in. Raises RateLimited."""
    _count([_LOGINS], "login ")


def _hits(settings: Settings) -> Hits:
    """Who counts: PostgreSQL for all that share it, a file for the workers of one server, memory for a lone one."""
    database = Database(settings.database, patience_s=PATIENCE_S)
    folder = workers_folder()
    if database.is_sqlite:
        if folder is None:
            return OwnHits()
        # Not the corrections' file: counting must not wait for its disk, its lock, or a full one.
        database = Database(f"sqlite:///{folder / 'rates.sqlite'}", patience_s=PATIENCE_S, is_lasting=False)
    return GuardedHits(SharedHits(database))


def _count(rates: list[RateLimitItem], what: str) -> None:
    client = what + (request.remote_addr or "unknown")
    for rate in rates:
        seconds = _limits().hits.hit(f"{client} {rate}", rate.amount, rate.get_expiry())
        if seconds > 0:
            raise RateLimited(retry_after_s=max(1, math.ceil(seconds)))


def _limits() -> Limits:
    limits: Limits = current_app.extensions[_EXTENSION]
    return limits
