"""Jobs: work in processes of its own, which outlives the server, never runs for ever on paper, and can be ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from app import create_app
from app.config import Settings
from app.registry import jobs
from app.registry.jobs import JobRunning, cancel, output, read, start
from app.registry.state import read_state
from app.training.promote_command import STATUS
from tests.asking import refused
from tests.conftest import write_head
from tests.running import ROOT

WAITING = ["retrain", "colours", "--when", "1000"]
"""A job that never ends by itself."""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A models folder that jobs know of; whatever still runs there is ended."""
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    yield tmp_path
    for job in jobs.jobs(tmp_path):
        cancel(tmp_path, job.id)


def until(true: Callable[[], object], limit_s: float = 60) -> None:
    limit = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


def group_of(models: Path, key: str) -> int:
    return int(json.loads((models / ".jobs" / key / "job.json").read_text())["group"])


def members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


@pytest.mark.slow
def test_a_job_outlives_the_process_that_started_it(models: Path) -> None:
    code = f"""import sys; from pathlib import Path; from app.registry.jobs import start
print(start(Path(sys.argv[1]), "retrain", "colours", {WAITING!r}, by="a test").id)"""
    started = subprocess.run(
        [sys.executable, "-c", code, str(models)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    key = started.stdout.strip()
    job = read(models, key)
    assert job is not None
    assert (job.status, job.kind, job.mode, job.by, job.outcome) == ("running", "retrain", "colours", "a test", None)
    until(lambda: "0 of 1000 new corrections" in output(models, key))
    ended = cancel(models, key)
    assert ended is not None and ended.status == "cancelled"
    assert members(group_of(models, key)) == []


def test_a_job_that_was_killed_has_failed_and_does_not_run_for_ever(models: Path) -> None:
    key = start(models, "retrain", "colours", WAITING, by="a test").id
    os.killpg(group_of(models, key), signal.SIGKILL)
    until(lambda: not members(group_of(models, key)))
    job = read(models, key)
    assert job is not None and (job.status, job.outcome) == ("failed", None)
    start(models, "retrain", "colours", WAITING, by="a test")


def test_a_job_whose_keeper_alone_was_killed_still_runs_and_can_be_ended(models: Path) -> None:
    key = start(models, "retrain", "colours", WAITING, by="a test").id
    group = group_of(models, key)
    until(lambda: len(members(group)) == 2)
    os.kill(members(group)[0], signal.SIGKILL)
    until(lambda: len(members(group)) == 1)
    job = read(models, key)
    assert job is not None and job.status == "running"
    ended = cancel(models, key)
    assert ended is not None and ended.status == "cancelled"
    assert members(group) == []


def test_one_job_at_a_time_for_each_mode(models: Path) -> None:
    start(models, "retrain", "colours", WAITING, by="a test")
    with pytest.raises(JobRunning, match="colours"):
        start(models, "promote", "colours", WAITING, by="a test")
    start(models, "retrain", "birds", ["retrain", "birds", "--when", "1000"], by="a test")
    assert [(job.mode, job.status) for job in jobs.jobs(models)] == [("birds", "running"), ("colours", "running")]


@pytest.mark.slow
def test_a_job_that_fails_says_why_and_starting_leaves_no_child_behind(models: Path) -> None:
    before = set(children())
    key = start(models, "promote", "colours", ["models", "promote", "--", "colours", "v9"], by="a test").id
    assert set(children()) == before
    until(lambda: read(models, key).status != "running")  # type: ignore[union-attr]
    job = read(models, key)
    assert job is not None and (job.status, job.outcome) == ("failed", None)
    assert job.ended and job.ended > job.created
    assert "There is no version v9" in output(models, key)
    assert cancel(models, key) == job, "what has ended stays as it is"


def children() -> list[int]:
    return [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


def test_old_jobs_are_forgotten_and_running_ones_are_not(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_KEPT", 2)
    running = start(models, "retrain", "colours", WAITING, by="a test").id
    ended = []
    for _ in range(3):
        ended.append(start(models, "promote", "birds", ["no-such-command"], by="a test").id)
        until(lambda: read(models, ended[-1]).status == "failed")  # type: ignore[union-attr]
    assert [job.id for job in reversed(jobs.jobs(models))] == [running, *ended[1:]]


def test_the_end_of_a_long_output_is_what_is_read(models: Path) -> None:
    key = start(models, "promote", "birds", ["no-such-command"], by="a test").id
    until(lambda: read(models, key).status == "failed")  # type: ignore[union-attr]
    (models / ".jobs" / key / "output.log").write_bytes("前".encode() * 10_000 + b"end")
    assert output(models, key, most=10).endswith("前前end")


def test_the_exit_statuses_of_the_commands_are_known_to_jobs() -> None:
    assert {name: "promoted" if name == "promote" else "kept" for name in ("promote", "keep")} == {
        name: jobs.OUTCOMES[STATUS[name]] for name in ("promote", "keep")
    }
    assert jobs.OUTCOMES[STATUS["not_enough_evidence"]] == "not_enough_evidence"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with a token, and a mode `colours` of two versions, v1 active."""
    models = tmp_path_factory.mktemp("models")
    app = create_app(Settings(models_dir=models, admin_token="hush"), wait=True)
    manager = app.extensions["recogniser"].manager
    for version in ("v1", "v2"):
        write_head(models, "colours", manager.mode("imagenet"), ["red", "green", "blue"], version=version)
    manager.refresh()
    yield app
    app.extensions["recogniser"].close()
    app.extensions["database"].close()


@pytest.fixture
def folder(server: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    settings: Settings = server.extensions["settings"]
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))
    yield settings.models_dir
    for job in jobs.jobs(settings.models_dir):
        cancel(settings.models_dir, job.id)


@pytest.fixture
def admin(server: Flask, folder: Path) -> FlaskClient:
    client = server.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer hush"
    return client


def fits(client: FlaskClient, body: object, schema: str) -> None:
    document = client.get("/openapi.json").json
    described = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    Draft202012Validator(described).validate(body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/modes/colours/promote"),
        ("POST", "/api/modes/colours/retrain"),
        ("GET", "/api/jobs"),
        ("GET", "/api/jobs/20260101T000000-00000000"),
        ("DELETE", "/api/jobs/20260101T000000-00000000"),
    ],
)
def test_jobs_are_closed_to_strangers(server: Flask, method: str, path: str) -> None:
    refused(server.test_client().open(path, method=method), 403, "forbidden")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("nothing/retrain", {}, 404, "unknown_mode"),
        ("imagenet/retrain", {}, 409, "conflict"),
        ("imagenet/promote", {"version": "v1"}, 409, "conflict"),
        ("colours/promote", {"version": "v9"}, 404, "unknown_version"),
        ("colours/promote", {"version": "../colours/v2"}, 404, "unknown_version"),
        ("colours/promote", {"version": "--force"}, 404, "unknown_version"),
        ("colours/promote", {"version": "v1"}, 409, "conflict"),
        ("colours/promote", {}, 400, "bad_parameter"),
        ("colours/promote", {"version": "v2", "data": "/etc"}, 400, "bad_parameter"),
        ("colours/retrain", {"why": "a\x00b"}, 400, "bad_parameter"),
        ("colours/retrain", {"why": "x" * 501}, 400, "bad_parameter"),
        ("colours/retrain", [], 400, "bad_parameter"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_started(
    admin: FlaskClient, folder: Path, path: str, body: object, status: int, code: str
) -> None:
    refused(admin.post(f"/api/modes/{path}", json=body), status, code)
    assert jobs.jobs(folder) == []


@pytest.mark.parametrize("key", ["nothing", "..", "%2e%2e%2fcolours", "20260101T000000-00000000"])
def test_a_job_that_is_not_there_is_not_found(admin: FlaskClient, key: str) -> None:
    refused(admin.get(f"/api/jobs/{key}"), 404, "not_found")
    refused(admin.delete(f"/api/jobs/{key}"), 404, "not_found")


def test_a_page_of_another_site_cannot_use_this_machines_trust(tmp_path: Path) -> None:
    app = create_app(Settings(models_dir=tmp_path, admin_loopback=True), wait=True)
    client = app.test_client()
    assert client.get("/api/jobs").json == {"jobs": []}
    assert client.get("/api/jobs", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    for site in ("cross-site", "same-site"):
        refused(client.post("/api/modes/colours/retrain", headers={"Sec-Fetch-Site": site}), 403, "forbidden")
    app.extensions["recogniser"].close()
    app.extensions["database"].close()


@pytest.mark.slow
def test_a_retraining_without_photos_fails_with_the_reason_in_its_output(admin: FlaskClient) -> None:
    started = admin.post("/api/modes/colours/retrain", json={"why": "--force"})
    assert started.status_code == 202
    fits(admin, started.json, "JobStarted")
    address = started.headers["Location"]
    assert address == f"/api/jobs/{started.json['job']['id']}"
    until(lambda: admin.get(address).json["status"] != "running")
    job = admin.get(address).json
    fits(admin, job, "JobDetail")
    assert (job["status"], job["by"]) == ("failed", "the administrator, from 127.0.0.1")
    assert "does not say which photos it learned from" in job["output"]


def test_a_second_order_is_refused_and_the_first_can_be_ended(admin: FlaskClient, folder: Path) -> None:
    key = start(folder, "retrain", "colours", WAITING, by="a test").id
    problem = refused(admin.post("/api/modes/colours/promote", json={"version": "v2"}), 409, "conflict")
    assert "Another job is at work on colours" in problem.detail
    assert [job["status"] for job in admin.get("/api/jobs").json["jobs"] if job["id"] == key] == ["running"]
    ended = admin.delete(f"/api/jobs/{key}")
    fits(admin, ended.json, "JobDetail")
    assert ended.json["status"] == "cancelled"
    fits(admin, admin.get("/api/jobs").json, "Jobs")


@pytest.mark.slow
def test_promoting_by_force_over_the_api_is_told_by_the_history(admin: FlaskClient, folder: Path) -> None:
    address = admin.post(
        "/api/modes/colours/promote", json={"version": "v2", "force": True, "why": "A word; $(rm -rf /)"}
    ).headers["Location"]
    until(lambda: admin.get(address).json["status"] != "running", 120)
    job = admin.get(address).json
    assert (job["status"], job["outcome"]) == ("done", "promoted"), job["output"]
    event = read_state(folder / "colours").history[-1]
    assert (event.version, event.before, event.forced, event.by) == ("v2", "v1", True, job["by"])
    assert event.why.startswith("A word; $(rm -rf /) There is no picture")
    refused(admin.post("/api/modes/colours/promote", json={"version": "v2"}), 409, "conflict")
