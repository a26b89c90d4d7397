"""Jobs: work in a process of its own, started over HTTP, told of truly whatever becomes of it."""

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from app import create_app
from app.config import Settings
from app.errors import NotFound
from app.registry import jobs
from app.registry.jobs import Job, JobBusy
from tests.conftest import write_head

TOKEN = {"Authorization": "Bearer let me in"}


FOREVER = ["retrain", "birds", "--when", "1"]
"""Waits for a correction that never comes."""


@pytest.fixture(autouse=True)
def _models_of_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))


def ended(models: Path, job: Job, limit_s: float = 120) -> Job:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        again = jobs.read_job(models, job.id)
        if jobs.state_of(models, again) != "running":
            return again
        time.sleep(0.05)
    raise AssertionError("the job goes on and on")


def test_a_job_is_done_when_its_command_is_and_gives_its_answer(tmp_path: Path) -> None:
    job = ended(tmp_path, jobs.start(tmp_path, "promote", "birds", ["models", "list", "--json"]))
    told = jobs.described(tmp_path, job)
    assert (told["state"], told["exit_status"], told["result"]) == ("done", 0, [])
    assert told["ended"] >= told["started"]


def test_a_command_that_fails_makes_a_failed_job_that_says_why(tmp_path: Path) -> None:
    job = ended(tmp_path, jobs.start(tmp_path, "promote", "birds", ["models", "rollback", "birds"]))
    told = jobs.described(tmp_path, job)
    assert (told["state"], told["exit_status"], told["result"]) == ("failed", 1, None)
    assert "birds" in told["output"]


def test_a_killed_job_has_failed_and_does_not_run_for_ever(tmp_path: Path) -> None:
    job = jobs.start(tmp_path, "retrain", "birds", FOREVER)
    assert jobs.state_of(tmp_path, job) == "running"
    os.killpg(int((tmp_path / ".jobs" / job.id / "process").read_text()), signal.SIGKILL)
    assert jobs.state_of(tmp_path, ended(tmp_path, job)) == "failed"


def test_a_mode_has_one_job_at_a_time_and_a_cancelled_one_makes_room(tmp_path: Path) -> None:
    first = jobs.start(tmp_path, "retrain", "birds", FOREVER)
    with pytest.raises(JobBusy, match="birds"):
        jobs.start(tmp_path, "promote", "birds", [])
    second = jobs.start(tmp_path, "retrain", "insects", FOREVER)
    for job in (first, second):
        jobs.cancel(tmp_path, job)
        assert jobs.state_of(tmp_path, ended(tmp_path, job)) == "cancelled"
    jobs.cancel(tmp_path, ended(tmp_path, jobs.start(tmp_path, "promote", "birds", ["models", "--help"])))


def test_old_jobs_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    started = [ended(tmp_path, jobs.start(tmp_path, "retrain", "birds", ["models", "--help"])) for _ in range(3)]
    assert [job.id for job in jobs.list_jobs(tmp_path)] == [started[2].id, started[1].id]
    with pytest.raises(NotFound):
        jobs.read_job(tmp_path, started[0].id)


@pytest.mark.parametrize("name", ["../etc", "", ".lock", "a/b", "x" * 80])
def test_an_id_never_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        jobs.read_job(tmp_path, name)


# Over HTTP


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = create_app(Settings(models_dir=tmp_path_factory.mktemp("models"), admin_token="let me in"), wait=True)
    app.testing = False
    manager = app.extensions["recogniser"].manager
    for version in ("v1", "v2"):
        write_head(
            app.extensions["settings"].models_dir, "birds", manager.mode("imagenet"), ["a", "b"], version=version
        )
    manager.refresh()
    yield app
    for name in ("recogniser", "upkeep", "counts", "database"):
        app.extensions[name].close()


@pytest.fixture
def admin(registry: Flask) -> FlaskClient:
    client = registry.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = TOKEN["Authorization"]
    return client


def test_without_the_token_no_job_is_started_or_shown(registry: Flask) -> None:
    client = registry.test_client()
    assert client.post("/api/modes/birds/retrain").status_code == 403
    assert client.post("/api/modes/birds/promote", json={"version": "v2"}).status_code == 403
    assert client.get("/api/jobs").status_code == 403
    assert not jobs.list_jobs(registry.extensions["settings"].models_dir)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/api/modes/imagenet/retrain", {}, "conflict"),
        ("/api/modes/nothing/retrain", {}, "unknown_mode"),
        ("/api/modes/birds/promote", {}, "bad_parameter"),
        ("/api/modes/birds/promote", {"version": "v9"}, "unknown_version"),
        ("/api/modes/birds/promote", {"version": "../v1"}, "unknown_version"),
        ("/api/modes/birds/retrain", {"data": "/etc"}, "bad_parameter"),
    ],
)
def test_a_wrong_order_is_refused_before_anything_runs(admin: FlaskClient, path: str, body: Any, code: str) -> None:
    assert admin.post(path, json=body).json["code"] == code
    assert admin.get("/api/jobs").json["jobs"] == []


@pytest.mark.slow
def test_a_promotion_by_force_runs_beside_the_server_and_is_written_into_the_history(
    registry: Flask, admin: FlaskClient
) -> None:
    models = registry.extensions["settings"].models_dir
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELS_DIR", str(models))
        begun = admin.post("/api/modes/birds/promote", json={"version": "v2", "force": True, "why": "--tried it"})
    assert begun.status_code == 202
    document = admin.get("/openapi.json").json
    described = {"$ref": "#/components/schemas/StartedJob", "components": document["components"]}
    Draft202012Validator(described).validate(json.loads(json.dumps(begun.json)))
    ended(models, jobs.read_job(models, begun.json["id"]), limit_s=120)
    told = admin.get(f"/api/jobs/{begun.json['id']}").json
    assert (told["state"], told["exit_status"]) == ("done", 0), told
    assert told["result"]["forced"] is True
    history = admin.get("/api/modes/birds/history").json["history"]
    assert history[-1]["version"] == "v2"
    assert history[-1]["forced"] is True
    assert history[-1]["by"] == "the administrator, from 127.0.0.1"
    assert "--tried it" in history[-1]["why"]


@pytest.mark.slow
def test_an_export_runs_beside_the_server_and_is_fetched_as_a_zip(registry: Flask, admin: FlaskClient) -> None:
    models = registry.extensions["settings"].models_dir
    assert admin.post("/api/modes/birds/export", json={"format": "exe"}).json["code"] == "bad_parameter"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELS_DIR", str(models))
        begun = admin.post("/api/modes/birds/export", json={"version": "v1"})
    assert admin.get(f"/api/jobs/{begun.json['id']}/files").status_code == 404, "it is not done"
    ended(models, jobs.read_job(models, begun.json["id"]), limit_s=120)
    told = admin.get(f"/api/jobs/{begun.json['id']}").json
    assert told["state"] == "done", told
    assert told["result"]["rows"][-1]["agreement"]["same_top_1"] == 1
    with admin.get(f"/api/jobs/{begun.json['id']}/files") as fetched:
        content = fetched.data
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {"model.json", "example.py"} < set(archive.namelist())
        assert json.loads(archive.read("model.json"))["version"] == "v1"
