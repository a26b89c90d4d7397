"""A server with one of everything that `/openapi.json` can name, for the tests that hold the two together."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app import create_app
from app.config import Settings
from app.registry import jobs
from app.vision.decoders import POOL
from tests.conftest import write_head

TOKEN = "a token for these tests"
MODE, VERSIONS = "birds", ("v1", "v2")


class EndsAtOnce:
    """Stands in for a job's process: the job ends as it begins, with nothing done."""

    pid = 0

    def __init__(self, *_: object, **__: object) -> None:
        """Take what `Popen` takes."""

    def wait(self) -> int:
        """Over already."""
        return 0


@contextmanager
def described(models: Path, weights: Path) -> Iterator[tuple[Flask, dict[str, str]]]:
    """The server, and what the parameters in its paths may be so that something is there."""
    POOL.start()  # which is a process, too
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.subprocess, "Popen", EndsAtOnce)
        settings = Settings(models_dir=models, resnet18_weights=weights, admin_token=TOKEN, keep_images=True)
        app = create_app(settings, wait=True)
        app.testing = False  # errors become answers, as in production
        try:
            yield app, _filled(app, models)
        finally:
            for name in ("recogniser", "upkeep", "counts", "database"):
                app.extensions[name].close()


def admin_of(app: Flask) -> FlaskClient:
    """The administrator's client."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    return client


def _filled(app: Flask, models: Path) -> dict[str, str]:
    """One of everything."""
    manager, admin = app.extensions["recogniser"].manager, admin_of(app)
    for version in VERSIONS:
        folder = write_head(models, MODE, manager.mode("imagenet"), ["owl", "kite"], ["猫头鹰", "鸢"], version=version)
        (folder / "report.html").write_text("<!doctype html><title>A report</title>", encoding="utf-8")
        (folder / "report.json").write_text(json.dumps({"judged_on": "test"}), encoding="utf-8")
    manager.refresh()
    album = admin.post("/api/albums", json={"title_en": "Bees"}).json["key"]
    class_id = admin.post(f"/api/albums/{album}/classes", json={"label": "bee"}).json["classes"][0]["id"]
    sent = admin.post(f"/api/albums/{album}/classes/{class_id}/photos", data={"file": (io.BytesIO(_jpeg()), "1.jpg")})
    said = {
        "request_id": "r1",
        "mode": MODE,
        "version": "v1",
        "answer": "owl",
        "confidence": "0.9",
        "label": "kite",
        "keep": "1",
    }
    correction = admin.post("/corrections", data={**said, "file": (io.BytesIO(_jpeg()), "1.jpg")})
    return {
        "mode": MODE,
        "name": MODE,
        "version": "v2",
        "key": album,
        "class_id": class_id,
        "photo_id": sent.json["results"][0]["photo"]["id"],
        "correction_id": correction.json["id"],
        "job_id": _job(models),
    }


def _job(models: Path) -> str:
    """A job that is done, and has written a file."""
    job = jobs.start(models, "export", "other", [])
    folder = models / ".jobs" / job.id
    (folder / "files").mkdir()
    (folder / "files" / "model.json").write_text("{}", encoding="utf-8")
    (folder / "job.json").write_text(job.model_copy(update={"exit_status": 0, "ended": job.started}).model_dump_json())
    return job.id


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()
