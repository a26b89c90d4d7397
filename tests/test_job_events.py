"""A job watched while it runs: what its command tells, and the stream that carries it, over every interruption."""

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.config import Settings
from app.registry import jobs
from app.registry.job_log import failure_in, read_lines, words_of
from app.registry.jobs import Job
from app.registry.state import now
from app.training import progress as progress_module
from app.training.outcome import EpochRecord
from app.training.progress import Events
from app.web import job_events

FOREVER = ["retrain", "birds", "--when", "1", "--events"]
"""Says that it waits for a correction, which never comes."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(autouse=True)
def _models_of_the_jobs(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(models))


# What a command tells


def told(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_steps_are_told_now_and_then_but_the_last_of_a_part_always(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    events = Events(output := io.StringIO())
    events.start("examining photos", 100)
    for _ in range(100):
        events.advance()
        now[0] += 0.01
    events.start("train: features", 5)
    events.finish()
    assert told(output)[0] == {"event": "part", "name": "examining photos", "length": 100}
    steps = [event["done"] for event in told(output) if event["event"] == "step"]
    assert len(steps) == 6, "five a second, and the last"
    assert steps == sorted(set(steps))
    assert steps[-1] == 100
    assert told(output)[-1] == {"event": "part", "name": "train: features", "length": 5}, "nothing was done of it"


def test_every_epoch_is_told_and_what_is_not_a_number_is_null() -> None:
    events = Events(output := io.StringIO())
    events.start("head: epochs", 2)
    for epoch, loss in ((1, 0.5), (2, float("nan"))):
        events.advance(1, EpochRecord("head", epoch, 0.4, loss, 0.9, 0.001, 1.0))
    epochs = [event for event in told(output) if event["event"] == "epoch"]
    assert [epoch["validation_loss"] for epoch in epochs] == [0.5, None]
    assert set(epochs[0]) == {
        "event", "stage", "epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate",
    }  # fmt: skip


def test_sentences_are_told_in_both_languages() -> None:
    Events(output := io.StringIO()).say("Two photos are the same.", "有两张照片相同。")
    assert told(output) == [{"event": "say", "en": "Two photos are the same.", "zh": "有两张照片相同。"}]


# What is read of it


def test_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    assert read_lines(log, 0) == ([], 0), "the command has not begun"
    first, second = b'{"event": "step", "done": 1}\n', '{"event": "say", "en": "Bee", "zh": "蜜蜂"}\n'.encode()
    log.write_bytes(first + second[:-10])
    lines, offset = read_lines(log, 0)
    assert [line.end for line in lines] == [len(first)]
    assert read_lines(log, offset) == ([], offset)
    log.write_bytes(first + second)
    lines, offset = read_lines(log, offset)
    assert json.loads(lines[0].text)["zh"] == "蜜蜂"
    assert offset == len(first + second)


def test_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_text('a warning\n{"event": "other"}\n{"event"\n[]\n{"event": "step", "done": 2}\n', encoding="utf-8")
    lines, offset = read_lines(log, 0)
    assert [line.text for line in lines] == ['{"event":"step","done":2}']
    assert offset == log.stat().st_size
    assert words_of(log)[0] == "a warning"


def test_a_failure_is_a_sentence_without_traceback_or_path(tmp_path: Path) -> None:
    said = ["Looking on.", f"Error: There is no photo in {tmp_path}/bees."]
    assert failure_in(said, tmp_path) == "There is no photo in bees."
    assert failure_in(["Traceback (most recent call last):", "ValueError: x"], tmp_path) is None
    assert failure_in([], tmp_path) is None


# The stream


@pytest.fixture(scope="module")
def app(models: Path) -> Iterator[Flask]:
    settings = Settings(models_dir=models, admin_token="let me in")
    flask_app = create_app(settings, wait=True)
    flask_app.testing = False
    yield flask_app
    for name in ("recogniser", "upkeep", "counts", "database"):
        flask_app.extensions[name].close()


@pytest.fixture
def admin(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer let me in"
    return client


@pytest.fixture
def finished(models: Path) -> Job:
    """A job that is over, and said three things."""
    job = written(models, exit_status=0)
    lines = ['{"event": "part", "name": "examining photos", "length": 2}', "a warning", '{"event": "step", "done": 2}']
    jobs.log_of(models, job).write_text("\n".join([*lines, '{"event": "st']), encoding="utf-8")
    return job


@pytest.fixture
def working(models: Path) -> Iterator[Job]:
    """A job that runs and runs."""
    job = jobs.start(models, "retrain", f"birds-{uuid4().hex[:8]}", FOREVER)
    yield job
    jobs.cancel(models, job)


def written(models: Path, exit_status: int) -> Job:
    """A job that ended so, some time ago."""
    arguments = ["models", "list"]
    job = Job(id=uuid4().hex[:16], kind="train", mode="birds", arguments=arguments, started=now(), ended=now())
    job = job.model_copy(update={"exit_status": exit_status})
    (models / ".jobs" / job.id).mkdir(parents=True)
    (models / ".jobs" / job.id / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    return job


def messages(text: str) -> list[dict[str, str]]:
    """The messages of a stream, each with its fields; comments are none."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_a_stream_tells_all_from_the_beginning_and_ends_with_the_job(admin: FlaskClient, finished: Job) -> None:
    with admin.get(f"/api/jobs/{finished.id}/events") as stream:
        assert stream.mimetype == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        part, step, end = messages(stream.text)
    assert json.loads(part["data"]) == {"event": "part", "name": "examining photos", "length": 2}
    assert json.loads(step["data"]) == {"event": "step", "done": 2}
    assert end["event"] == "end"
    assert json.loads(end["data"]) == admin.get(f"/api/jobs/{finished.id}").json
    assert int(part["id"]) < int(step["id"]) == int(end["id"]), "the broken last line does not count"


def test_it_goes_on_after_the_last_id_and_repeats_nothing(admin: FlaskClient, finished: Job) -> None:
    path = f"/api/jobs/{finished.id}/events"
    with admin.get(path) as stream:
        first, step, _ = messages(stream.text)
    for asked in ({"query_string": {"after": first["id"]}}, {"headers": {"Last-Event-ID": first["id"]}}):
        with admin.get(path, **asked) as stream:
            assert messages(stream.text)[0] == step
    with admin.get(path, query_string={"after": step["id"]}) as stream:
        assert [message.get("event") for message in messages(stream.text)] == ["end"]
    with admin.get(path, query_string={"after": "999999"}) as stream:
        assert [message.get("event") for message in messages(stream.text)] == ["end"]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 30])
def test_an_id_that_was_never_given_is_refused(admin: FlaskClient, finished: Job, after: str) -> None:
    answer = admin.get(f"/api/jobs/{finished.id}/events", query_string={"after": after})
    assert answer.json["code"] == "bad_parameter"


def test_a_stream_is_for_the_administrator_and_for_jobs_that_there_are(
    app: Flask, admin: FlaskClient, finished: Job
) -> None:
    assert app.test_client().get(f"/api/jobs/{finished.id}/events").status_code == 403
    assert admin.get("/api/jobs/0123456789abcdef/events").json["code"] == "not_found"


def test_a_stream_gives_its_thread_back_in_time_and_says_meanwhile_that_it_lives(
    admin: FlaskClient, models: Path, monkeypatch: pytest.MonkeyPatch, working: Job
) -> None:
    monkeypatch.setattr(job_events, "STREAM_S", 1.5)
    monkeypatch.setattr(job_events, "HEARTBEAT_S", 0.4)
    began = time.monotonic()
    with admin.get(f"/api/jobs/{working.id}/events") as stream:
        text = stream.text
    assert time.monotonic() - began < 5
    assert text.count(": still here") >= 2
    assert "event: end" not in text


def test_so_many_streams_and_no_more_and_a_stream_that_is_left_makes_room(
    admin: FlaskClient, app: Flask, models: Path, finished: Job, working: Job
) -> None:
    path = f"/api/jobs/{working.id}/events"
    open_ones = [admin.get(path, buffered=False) for _ in range(job_events.MOST_STREAMS)]
    refused = admin.get(path)
    assert (refused.status_code, refused.json["code"]) == (503, "busy")
    assert refused.headers["Retry-After"]
    for stream in open_ones:
        stream.close()
    with admin.get(f"/api/jobs/{finished.id}/events") as stream:
        assert stream.status_code == 200
        assert messages(stream.text)


@pytest.mark.parametrize(("by", "state"), [("kill", "failed"), ("cancel", "cancelled")])
def test_the_end_of_a_job_ends_its_stream_with_its_state(
    admin: FlaskClient, models: Path, by: str, state: str, working: Job
) -> None:
    stream = admin.get(f"/api/jobs/{working.id}/events", buffered=False)
    parts = iter(stream.response)
    assert next(parts) == b": here\n\n"
    if by == "kill":
        os.killpg(int((models / ".jobs" / working.id / "process").read_text()), signal.SIGKILL)
    else:
        assert admin.delete(f"/api/jobs/{working.id}").status_code == 200
    end = messages(b"".join(parts).decode())[-1]
    stream.close()
    assert end["event"] == "end"
    assert json.loads(end["data"])["state"] == state


def test_a_server_that_stops_is_not_held_up_by_a_stream(
    admin: FlaskClient, app: Flask, working: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, job_events.IS_STOPPING, lambda: True)
    with admin.get(f"/api/jobs/{working.id}/events") as stream:
        assert messages(stream.text) == []


def test_a_job_steps_back_behind_everything_else(models: Path, working: Job) -> None:
    process = int((models / ".jobs" / working.id / "process").read_text())
    deadline = time.monotonic() + 30
    while os.sched_getscheduler(process) != os.SCHED_IDLE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert os.getpriority(os.PRIO_PROCESS, process) == 19


def test_a_failed_job_says_why_and_its_output_holds_no_json(admin: FlaskClient, models: Path) -> None:
    job = written(models, exit_status=1)
    events = ['{"event": "step", "done": 1}', '{"event": "say", "en": "Two are the same.", "zh": "相同"}']
    log = "\n".join([*events, f"Error: There is nothing in {models}/bees."])
    jobs.log_of(models, job).write_text(log + "\n", encoding="utf-8")
    described = admin.get(f"/api/jobs/{job.id}").json
    assert (described["state"], described["error"]) == ("failed", "There is nothing in bees.")
    assert described["output"].splitlines()[0] == "Two are the same."
