"""Before and after every request: its id, its line in the log, and the headers that keep a browser safe."""

import logging
import re
import time
import uuid
from typing import cast

from flask import Flask, Response, g, request
from flask.json.provider import DefaultJSONProvider

from app.config import Settings
from app.web import logs
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


def init_app(app: Flask, settings: Settings) -> None:
    """Put the hooks around every request of `app`, and write its log."""
    logs.init(settings.log_format)
    json_provider = cast(DefaultJSONProvider, app.json)
    json_provider.ensure_ascii = False
    json_provider.sort_keys = False
    app.before_request(_begin)
    app.after_request(_end)


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
        _log(path, response.status_code)
    return response


def _log(path: str, status: int) -> None:
    """One line for the current request: the pattern of its address, never the address, and nothing that was sent."""
    fields = {
        "method": request.method,
        "path": path,
        "status": status,
        "milliseconds": round((time.perf_counter() - g.started) * 1000, 1),
        "code": g.get("error_code"),
        **g.get("recognised", {}),
    }
    told = (request.method, path, status, fields["milliseconds"], fields["code"] or "")
    LOG.info("%s %s %d %.1f ms %s", *told, extra={"fields": fields})
