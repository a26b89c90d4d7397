"""`GET /api/jobs/<id>/events`: a job as it goes, as server-sent events, read from what its command writes.

A stream holds a thread of the server: it is short, and there are few; the client comes back with the last id, which is
a place in the job's log, so that it misses nothing and hears nothing twice, whichever worker or server answers.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from flask import Blueprint, Response, current_app, request

from app.config import Settings
from app.errors import BadParameter, Busy, NotFound
from app.registry import jobs
from app.registry.all_jobs import find_described
from app.registry.job_log import Line, read_lines
from app.registry.jobs import Job
from app.web.guard import check_admin

STREAM_S = 20.0
"""The longest that one answer lasts."""
MOST_STREAMS = 8
"""At once, in one worker."""
HEARTBEAT_S = 5.0
_POLL_S = 0.2
_ELSEWHERE_POLL_S = 1.0
IS_STOPPING = "is_stopping"
"""Extension: whether the server is about to stop, as `gunicorn.conf.py` tells it."""

blueprint = Blueprint("job_events", __name__, url_prefix="/api/jobs")
blueprint.before_request(check_admin)
_places = threading.BoundedSemaphore(MOST_STREAMS)


@blueprint.get("/<job_id>/events")
def events(job_id: str) -> Response:
    """What the job does from here on, or from the id `after` on; the browser itself sends that as `Last-Event-ID`."""
    after = _offset(request.headers.get("Last-Event-ID") or request.args.get("after") or "0")
    settings: Settings = current_app.extensions["settings"]
    about = find_described(settings.models_dir, job_id)
    if not _places.acquire(blocking=False):
        raise Busy(retry_after_s=2)
    is_stopping = current_app.extensions.get(IS_STOPPING, lambda: False)
    try:
        job = jobs.read_job(settings.models_dir, job_id)
        told = _stream(settings.models_dir, job, after, is_stopping)
    except NotFound:
        told = _stream_from_elsewhere(settings.models_dir, about["id"], is_stopping)
    stream = Response(told, mimetype="text/event-stream")
    stream.call_on_close(_places.release)
    stream.headers["Cache-Control"] = "no-store"
    stream.headers["X-Accel-Buffering"] = "no"
    return stream


def _stream(models_dir: Path, job: Job, offset: int, is_stopping: Callable[[], bool]) -> Iterator[str]:
    """The messages, until the job's end, or until it is time to let another have the thread."""
    ends = time.monotonic() + STREAM_S
    beat = time.monotonic() + HEARTBEAT_S
    yield ": here\n\n"  # so that the browser knows at once that it is connected
    with suppress(NotFound):  # forgotten meanwhile: the client, coming back, is told so
        while time.monotonic() < ends and not is_stopping():
            state = jobs.state_of(models_dir, job)  # first, so that nothing is written after what is read below
            lines, reached = read_lines(jobs.log_of(models_dir, job), offset)
            if lines:
                yield "".join(map(_message, lines))
            elif time.monotonic() >= beat:
                yield ": still here\n\n"
            if lines or time.monotonic() >= beat:
                beat = time.monotonic() + HEARTBEAT_S
            if state != "running" and reached == offset:
                yield _end(jobs.described(models_dir, job), offset)
                return
            if reached == offset:
                time.sleep(_POLL_S)
            offset = reached


def _stream_from_elsewhere(models_dir: Path, job_id: str, is_stopping: Callable[[], bool]) -> Iterator[str]:
    """Of a job that another site runs: its end alone, since its log lies there."""
    ends = time.monotonic() + STREAM_S
    yield ": here\n\n"
    with suppress(NotFound):
        while time.monotonic() < ends and not is_stopping():
            about = find_described(models_dir, job_id)
            if about["state"] != "running":
                yield _end(about, 0)
                return
            yield ": still here\n\n"
            time.sleep(_ELSEWHERE_POLL_S)


def _message(line: Line) -> str:
    return f"id: {line.end}\ndata: {line.text}\n\n"


def _end(described: dict[str, object], offset: int) -> str:
    return f"id: {offset}\nevent: end\ndata: {json.dumps(described, ensure_ascii=False)}\n\n"


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):  # noqa: PLR2004
        raise BadParameter(name="after", en="the id of an event", zh="某条事件的 id")
    return int(text)
