"""Before and after every request: its id, its line in the log, and the headers that keep a browser safe."""

import json
import logging
import re
import time
import uuid
from typing import cast

from flask import Flask, Response, g, request
from flask.json.provider import DefaultJSONProvider

from app.config import Settings
from app.web.metrics import REQUESTS

LOG = logging.getLogger("app.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for `LOG_FORMAT=json`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its time (UTC, ISO 8601), level, logger and message; a traceback where there is one."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def init_app(app: Flask, settings: Settings) -> None:
    """Put the hooks around every request of `app`, and write its log."""
    _init_logging(settings.log_format)
    json_provider = cast(DefaultJSONProvider, app.json)
    json_provider.ensure_ascii = False
    json_provider.sort_keys = False
    app.before_request(_begin)
    app.after_request(_end)


def _init_logging(log_format: str) -> None:
    """Write the app's log to standard error, as lines of text or of JSON."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logger = logging.getLogger("app")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def _begin() -> None:
    g.started = time.perf_counter()
    wish = request.headers.get("X-Request-Id", "")
    g.request_id = wish if _REQUEST_ID.fullmatch(wish) else uuid.uuid4().hex


def _end(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = g.request_id
    path = request.url_rule.rule if request.url_rule else "other"
    REQUESTS.labels(path, response.status_code, g.get("error_code", "")).inc()
    if path not in ("/livez", "/readyz", "/metrics"):
        milliseconds = (time.perf_counter() - g.started) * 1000
        LOG.info(
            "%s %s %s %d %.1f ms %s",
            g.request_id,
            request.method,
            path,
            response.status_code,
            milliseconds,
            g.get("error_code", ""),
        )
    return response
