"""Several real gunicorn workers: each follows `models/` by itself, and they add up their metrics."""

import json
import os
import runpy
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from tests.running import ROOT, clean_environment, free_port, post, wait_until_ready

pytestmark = pytest.mark.slow
WORKERS = 2
LITE0_FEATURES = 1280


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def port(models: Path) -> Iterator[int]:
    chosen = free_port()
    environment = clean_environment() | {
        "PORT": str(chosen), "MODELS_DIR": str(models), "WEB_CONCURRENCY": str(WORKERS), "TORCH_HOME": str(models),
    }  # fmt: skip
    log = models.parent / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until_ready(process, chosen, log)
        until(lambda: log.read_text().count("imagenet is served by") == WORKERS)
        yield chosen
    finally:
        process.terminate()
        assert process.wait(40) == 0


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        content: bytes = answer.read()
        return content.decode()


def everywhere(port: int, holds: Callable[[dict[str, dict[str, object]]], bool]) -> bool:
    """Whether 40 new connections, eight at a time, all see modes of which `holds` is true."""
    with ThreadPoolExecutor(8) as callers:
        bodies = callers.map(lambda _: json.loads(get(port, "/modes")), range(40))
    return all(holds({mode["key"]: mode for mode in body["modes"]}) for body in bodies)


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.2)


def test_a_mode_dropped_in_changed_broken_and_removed_is_followed_by_every_worker(port: int, models: Path) -> None:
    def write(classes: int) -> None:
        (models / "sports.txt").write_text("".join(f"class {number}\n" for number in range(classes)))
        torch.save(nn.Linear(LITE0_FEATURES, classes).state_dict(), models / "aside")
        (models / "aside").rename(models / "sports.pth")

    def has(classes: int) -> Callable[[dict[str, dict[str, object]]], bool]:
        return lambda modes: "sports" in modes and len(modes["sports"].get("labels", [])) == classes

    write(3)
    until(lambda: everywhere(port, has(3)))
    write(4)
    until(lambda: everywhere(port, has(4)))
    (models / "sports.pth").write_bytes(b"broken")
    time.sleep(3)
    assert everywhere(port, has(4)), "the one before goes on"
    (models / "sports.pth").unlink()
    until(lambda: everywhere(port, lambda modes: "sports" not in modes))


def test_metrics_are_those_of_all_workers_together(port: int, cat: Image.Image, encode: Callable[..., bytes]) -> None:
    picture = encode(cat)
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda _: post(port, picture), range(12)))
    lines = [line for line in get(port, "/metrics").splitlines() if line.startswith("wanwu_pictures_total{")]
    assert sum(float(line.split()[-1]) for line in lines) == 12


def test_a_correction_that_reaches_both_workers_is_stored_once(port: int, models: Path) -> None:
    def correct(number: int) -> str:
        sent = {"request_id": f"r{number % 12}", "mode": "imagenet", "version": "1", "answer": "cat", "confidence": 0.5}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/corrections",
            data=json.dumps(sent | {"label": "tabby"}).encode(),
            headers={"Content-Type": "application/json", "Connection": "close"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            saved: str = json.load(answer)["id"]
            return saved

    with ThreadPoolExecutor(8) as callers:
        ids = list(callers.map(correct, range(48)))
    assert len(set(ids)) == 12
    with closing(sqlite3.connect(models / "wanwu.db")) as database:
        assert database.execute("SELECT count(*) FROM corrections").fetchone() == (12,)


def test_a_caller_that_has_gone_costs_no_pass_through_the_network(
    port: int, cat: Image.Image, encode: Callable[..., bytes]
) -> None:
    from bench.load import encode as request_of

    request = request_of([encode(cat)])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)

    def gone() -> float:
        lines = [line for line in get(port, "/metrics").splitlines() if 'code="gone"' in line]
        return sum(float(line.split()[-1]) for line in lines)

    until(lambda: gone() > 0)


def test_the_workers_share_out_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_THREADS", "8")
    configuration = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    for workers, threads in ((1, "8"), (2, "4"), (3, "2"), (20, "1")):
        monkeypatch.setenv("TORCH_THREADS", "8")
        configuration["post_fork"](SimpleNamespace(cfg=SimpleNamespace(workers=workers)), None)
        assert os.environ["TORCH_THREADS"] == threads
