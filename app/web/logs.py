"""How the log is written: lines of text or of JSON, each with the id of its request; no picture, no token, no name."""

import json
import logging
import re
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from flask import current_app, g, has_request_context, request

from app.config import Settings

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(request)s%(message)s"
_HIDDEN = "…"
_SECRET_HEADERS = ("Authorization", "Cookie", "X-CSRF-Token")
_BYTES = re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""")
"""Bytes as an error's text shows them: perhaps a picture's."""
_SHORTEST = 4
"""Characters of a value worth hiding; a shorter one would blot out half of the text."""

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class TextFormatter(logging.Formatter):
    """One line a record, for people; a traceback below it where there is one."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """The record, with the id of the request that it belongs to."""
        id_ = request_id()
        record.request = f"{id_} " if id_ else ""
        return super().format(record)

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - logging's name
        """The traceback, without what was sent."""
        return without_what_was_sent(super().formatException(ei))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for `LOG_FORMAT=json`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record: time (UTC, ISO 8601), level, logger, message; its request's id, its own fields, a traceback.

        The last three where there are such; the fields are what was logged with `extra={"fields": …}`.
        """
        entry: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        id_ = request_id()
        if id_:
            entry["request_id"] = id_
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["traceback"] = without_what_was_sent(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


def init(log_format: str) -> None:
    """Write the app's log to standard error, as lines of text or of JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logger = logging.getLogger("app")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def request_id() -> str | None:
    """The id of the request that this thread answers, if it answers one."""
    return g.get("request_id") if has_request_context() else None


def without_what_was_sent(text: str) -> str:
    """The text of an error, in which nothing is left of what the current request brought, nor any token.

    Libraries put into their errors what they could not digest: a file's name, a form's field, a picture's first bytes.
    """
    text = _BYTES.sub(f"b'{_HIDDEN}'", text)
    for value in sorted(_sent(), key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, _HIDDEN).replace(repr(value)[1:-1], _HIDDEN)
    return text


def _sent() -> Iterator[str]:
    """What must not be in the log. A form that has not been read is not read for this."""
    if not has_request_context():
        return
    settings: Settings | None = current_app.extensions.get("settings")
    if settings and settings.admin_token:
        yield settings.admin_token.get_secret_value()
    for name in _SECRET_HEADERS:
        value = request.headers.get(name, "")
        yield value
        yield value.rpartition(" ")[2]
    yield from request.cookies.values()
    read = vars(request._get_current_object())  # type: ignore[attr-defined]
    if "form" in read:
        yield from read["form"].values()
    if "files" in read:
        yield from (part.filename or "" for parts in read["files"].listvalues() for part in parts)
