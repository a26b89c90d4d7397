"""How often one client may ask: `RATE_LIMIT`, kept in this process's memory."""

import math
import time

from flask import Flask, current_app, request
from limits import RateLimitItem, parse, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.config import Settings
from app.errors import RateLimited

_EXTENSION = "rate_limits"
_LOGINS = parse("10/minute")
"""Nobody mistypes a token more often; guessing it at this rate is hopeless."""


def init_app(app: Flask, settings: Settings) -> None:
    """Hold the limits ("60/minute;1000/day"), or none."""
    rates = parse_many(settings.rate_limit) if settings.rate_limit else []
    app.extensions[_EXTENSION] = (rates, MovingWindowRateLimiter(MemoryStorage()))


def check_rate() -> None:
    """Count the current request.

    Raises:
        RateLimited: its client has asked too often; it carries the seconds to wait.
    """
    rates, _ = current_app.extensions[_EXTENSION]
    _count(rates, "")


def check_logins() -> None:
    """Count an attempt to log in. Raises RateLimited."""
    _count([_LOGINS], "login ")


def _count(rates: list[RateLimitItem], what: str) -> None:
    limiter: MovingWindowRateLimiter
    _, limiter = current_app.extensions[_EXTENSION]
    client = what + (request.remote_addr or "unknown")
    for rate in rates:
        if not limiter.hit(rate, client):
            seconds = limiter.get_window_stats(rate, client).reset_time - time.time()
            raise RateLimited(retry_after_s=max(1, math.ceil(seconds)))
