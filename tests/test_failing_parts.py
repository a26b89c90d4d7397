"""A real server while its parts fail: it goes on recognising, and loses nothing without a word (docs/OPERATIONS.md)."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from app.config import Settings
from app.registry.state import activate
from app.serving.loading import Loader
from tests.conftest import write_head
from tests.databases import postgresql_server
from tests.serving_process import Served, serving

pytestmark = pytest.mark.slow
LITE0_FEATURES = 1280


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose models folder is a small disk of its own."""
    check_mounting()
    with serving(tmp_path_factory.mktemp("models"), mount="size=6m", KEEP_IMAGES="1") as served:
        (served.disk / "sports.txt").write_text("ball\nbat\n")
        torch.save(nn.Linear(LITE0_FEATURES, 2).state_dict(), served.disk / "aside")
        (served.disk / "aside").rename(served.disk / "sports.pth")
        until(lambda: is_served(served, "sports"))
        yield served


def check_mounting() -> None:
    allowed = shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    if not allowed or allowed.returncode:
        if os.environ.get("WANWU_REQUIRE_SHARED"):
            pytest.fail("a disk of one's own cannot be mounted, and this run must not skip what needs it")
        pytest.skip("only root can mount a disk")


def until(holds: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.1)


def is_served(served: Served, mode: str) -> bool:
    return any(one["key"] == mode and one["available"] for one in served.ask("/modes")[1]["modes"])


def still_recognises(served: Served, picture: bytes) -> bool:
    return served.recognise(picture)[0] == served.recognise(picture, "?mode=sports")[0] == 200


def test_on_a_full_disk_recognition_goes_on_and_what_cannot_be_kept_is_refused(disk: Served, cat_jpeg: bytes) -> None:
    before = disk.correct("before")[1]
    filler = disk.disk / "filler"
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    assert still_recognises(disk, cat_jpeg)
    status, problem = disk.correct("full")
    assert (status, problem["code"]) == (507, "storage_full")
    status, problem = disk.send("/api/albums", title_en="Birds", title_zh="鸟")
    assert (status, problem["code"]) == (507, "storage_full")
    assert disk.ask("/readyz")[0] == 200
    filler.unlink()
    after = disk.correct("full")[1]
    assert disk.send("/api/albums", title_en="Birds", title_zh="鸟")[0] == 201
    assert [one["id"] for one in disk.ask("/api/corrections")[1]["entries"]] == [before["id"], after["id"]]


def test_a_models_folder_that_vanishes_takes_no_mode_with_it(disk: Served, cat_jpeg: bytes) -> None:
    disk.mount("mkdir", f"{disk.models}-elsewhere")
    disk.mount("mount", "--move", str(disk.models), f"{disk.models}-elsewhere")
    until(lambda: "models/ is not there any more" in disk.log.read_text())
    assert still_recognises(disk, cat_jpeg)
    assert disk.correct("vanished")[0] in (503, 200)  # where SQLite still has its files open, they are kept
    disk.mount("mount", "--move", f"{disk.models}-elsewhere", str(disk.models))
    time.sleep(1.5)
    assert is_served(disk, "sports")
    assert disk.correct("vanished")[0] == 200


def test_on_a_read_only_disk_recognition_goes_on_and_changes_are_refused(tmp_path: Path, cat_jpeg: bytes) -> None:
    check_mounting()
    models = tmp_path / "models"
    models.mkdir()
    with serving(models, mount="ro") as served:
        assert served.recognise(cat_jpeg)[0] == 200
        for status, problem in (served.correct("locked"), served.send("/api/albums", title_en="Fish", title_zh="鱼")):
            assert (status, problem["code"]) == (503, "not_saved")
            assert str(models) not in problem["detail"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of two workers, with a mode of two versions."""
    models = tmp_path_factory.mktemp("models")
    base = Loader(Settings(models_dir=models)).base()
    for version in ("v1", "v2"):
        write_head(models, "birds", base, [f"{version} owl", f"{version} kite"], version=version)
    activate(models / "birds", "v1", action="promote", by="a test", why="first")
    with serving(models, WEB_CONCURRENCY="2") as served:
        until(lambda: served.log.read_text().count("mode birds is served") == 2)
        yield served


def test_a_worker_that_is_killed_costs_what_it_was_answering_and_is_replaced(pair: Served, cat_jpeg: bytes) -> None:
    before = pair.workers()

    def ask(_: int) -> int:
        try:
            return pair.recognise(cat_jpeg)[0]
        except OSError:
            return 0

    with ThreadPoolExecutor(4) as callers:
        answers = callers.map(ask, range(60))
        time.sleep(0.5)
        os.kill(before[0], signal.SIGKILL)
        statuses = list(answers)
    assert set(statuses) <= {200, 0}
    assert statuses.count(0) <= 4  # each caller's request at most
    until(lambda: len(pair.workers()) == 2 and pair.workers() != before)
    until(lambda: all(pair.recognise(cat_jpeg)[0] == 200 for _ in range(8)))


def test_a_database_that_is_locked_holds_up_corrections_only(pair: Served, cat_jpeg: bytes) -> None:
    with closing(sqlite3.connect(pair.models / "wanwu.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(pair.correct, "waits")
            assert pair.recognise(cat_jpeg)[0] == 200
            assert not waiting.done(), waiting.result()
            database.execute("COMMIT")
            assert waiting.result()[0] == 200


def test_two_servers_on_one_models_folder_are_one(pair: Served, cat_jpeg: bytes) -> None:
    with serving(pair.models) as other:

        def version(served: Served) -> str:
            return str(served.recognise(cat_jpeg, "?mode=birds")[1]["model"]["version"])

        until(lambda: {version(pair), version(other)} == {"v1"})
        activate(pair.models / "birds", "v2", action="promote", by="a test", why="better")
        until(lambda: {version(pair) for _ in range(8)} | {version(other)} == {"v2"})
        assert pair.send("/api/modes/birds/rollback")[0] == 200
        until(lambda: {version(pair) for _ in range(8)} | {version(other)} == {"v1"})
        told = [served.correct("same") for served in (pair, other, pair, other)]
        assert len({saved["id"] for _, saved in told}) == 1


def test_a_database_that_goes_away_and_comes_back_costs_corrections_only(tmp_path: Path, cat_jpeg: bytes) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with postgresql_server() as database, serving(models, DATABASE_URL=database.new_database()) as served:
        until(lambda: served.correct("before")[0] == 200)
        database.stop()
        assert served.recognise(cat_jpeg)[0] == 200
        status, problem = served.correct("meanwhile")
        assert (status, problem["code"]) == (503, "not_saved")
        assert served.recognise(cat_jpeg)[0] == 200
        database.start()
        assert served.correct("meanwhile")[0] == 200
        assert served.ask("/api/corrections")[1]["total"] == 2


def test_told_to_stop_in_the_middle_of_a_batch_it_answers_first(tmp_path: Path, cat_jpeg: bytes) -> None:
    models = tmp_path / "models"
    models.mkdir()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(cat_jpeg)}\r\n\r\n"
    with serving(models) as served, ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 40)) for _ in range(8)]
        for caller in callers:
            caller.sendall(head.encode() + cat_jpeg[:-1])
        time.sleep(2)  # until all are in; none can be answered yet
        served.process.terminate()
        for caller in callers:
            caller.sendall(cat_jpeg[-1:])
        assert all(caller.recv(65536).startswith(b"HTTP/1.1 200") for caller in callers)
