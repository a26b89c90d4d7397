"""A trial under several real gunicorn workers: their counts add up, to the last, and one of them ends it for all."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from app.config import Settings
from app.feedback.database import Database
from app.feedback.tables import Count
from app.registry.state import read_state
from app.serving.loading import Loader
from tests.databases import migrate
from tests.running import ROOT, clean_environment, free_port, wait_until_ready
from tests.trying import write_erring, write_sure

pytestmark = pytest.mark.slow
WORKERS = 2


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, cat: Image.Image) -> Path:
    """The mode "birds": v1 is active; v2, and one that errs, wait."""
    folder = tmp_path_factory.mktemp("models")
    base = Loader(Settings(models_dir=folder)).base()
    write_sure(folder, base, "v1", ("owl", "kite"), 0)
    write_sure(folder, base, "v2", ("kite", "owl"), 1)
    write_erring(folder, base, "erring", cat)
    return folder


@contextmanager
def serving(models: Path, log: Path, **more: str) -> Iterator[int]:
    """`python -m app serve` with two workers, both ready; ended in good order."""
    port = free_port()
    environment = clean_environment() | {
        "PORT": str(port), "MODELS_DIR": str(models), "TORCH_HOME": str(models), "ADMIN_LOOPBACK": "1",
        "WEB_CONCURRENCY": str(WORKERS), **more,
    }  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until_ready(process, port, log)
        until(lambda: log.read_text().count("mode birds is served") == WORKERS, 60)
        yield port
    finally:
        process.terminate()
        assert process.wait(40) == 0


def send(port: int, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, method=method, headers={"Content-Type": kind}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def post_pictures(port: int, picture: bytes, times: int) -> list[str]:
    """Post it `times` times from eight callers at once; the versions that answered."""
    with ThreadPoolExecutor(8) as callers:
        bodies = callers.map(lambda _: send(port, "POST", "/predict?mode=birds", picture, "image/jpeg"), range(times))
        return [body["model"]["version"] for body in bodies]


def begin(port: int, log: Path, version: str) -> None:
    """Begin a trial in shadow, and wait until every worker has followed."""
    order = json.dumps({"version": version, "kind": "shadow"}).encode()
    send(port, "PUT", "/api/modes/birds/trial", order)
    until(lambda: log.read_text().count(f"mode birds tries the version {version}") == WORKERS)


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.1)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_two_workers_count_every_picture_exactly_once_also_as_they_end(
    models: Path, tmp_path: Path, cat_jpeg: bytes, database_url: str
) -> None:
    database, log = Database(database_url), tmp_path / "serve.log"
    migrate(database)
    with serving(models, log, DATABASE_URL=database_url) as port:
        begin(port, log, "v2")
        post_pictures(port, cat_jpeg, 60)

        def seen() -> dict[str, int]:
            report = send(port, "GET", "/api/modes/birds/trial")
            return {one["version"]: one["pictures"] for one in report["versions"]}

        until(lambda: seen() == {"v1": 60, "v2": 60})
        post_pictures(port, cat_jpeg, 15)
        send(port, "DELETE", "/api/modes/birds/trial")
    with database.session() as session:
        found = {row.version: (row.pictures, row.compared, row.agreed) for row in session.scalars(select(Count))}
    database.close()
    assert found == {"v1": (75, 0, 0), "v2": (75, 75, 75)}


def test_an_erring_trial_is_ended_once_for_all_workers_and_every_caller_was_answered(
    models: Path, tmp_path: Path, cat_jpeg: bytes
) -> None:
    database, log = Database(f"sqlite:///{tmp_path / 'wanwu.db'}"), tmp_path / "serve.log"
    migrate(database)
    database.close()
    with serving(models, log, DATABASE_URL=f"sqlite:///{tmp_path / 'wanwu.db'}") as port:
        begin(port, log, "erring")
        versions = post_pictures(port, cat_jpeg, 80)
        until(lambda: read_state(models / "birds").trial is None)
        versions += post_pictures(port, cat_jpeg, 20)
    assert versions == ["v1"] * 100
    ended = [event for event in read_state(models / "birds").history if event.by == "the server"]
    assert [(event.action, event.version) for event in ended] == [("trial_ended", "erring")]
    assert log.read_text().count("is ended: it erred") == 1
