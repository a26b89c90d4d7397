"""The benchmark: its load generator counts what really happens, and its report hides nothing."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.load import Outcome, measure
from bench.report import Figures, Row, figures, losses, table
from tests.running import ROOT, clean_environment


@contextmanager
def server(status: int, delay_s: float, keeps_alive: bool) -> Iterator[tuple[int, list[int]]]:
    """A server that answers so; yields its port and the sizes of the bodies that it was sent."""
    sizes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sizes.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(delay_s)
            self.send_response(status)
            self.send_header("Content-Length", "2")
            if not keeps_alive:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port, sizes
        running.shutdown()


@pytest.mark.parametrize("keeps_alive", [True, False])
def test_the_load_is_closed_loop(keeps_alive: bool) -> None:
    with server(200, 0.05, keeps_alive) as (port, sizes):
        outcome = asyncio.run(measure(port, b"x" * 1000, connections=2, seconds=0.5))
    assert outcome.errors == 0
    assert 2 <= len(outcome.latencies_ms) <= 2 * (0.5 / 0.05) + 2
    assert min(outcome.latencies_ms) >= 50
    assert min(sizes) > 1000


def test_refusals_are_errors_and_no_answers() -> None:
    with server(503, 0, keeps_alive=True) as (port, _):
        outcome = asyncio.run(measure(port, b"x", connections=1, seconds=0.2))
    assert outcome.errors > 0
    assert outcome.latencies_ms == []


def test_rounds_are_pooled() -> None:
    pooled = figures([Outcome(1.0, 0, [10.0] * 99), Outcome(1.0, 2, [1000.0])])
    assert (pooled.requests, pooled.errors, pooled.requests_s, pooled.p50_ms) == (100, 2, 50.0, 10.0)
    assert pooled.p99_ms > 10


def test_the_report_says_where_wanwu_loses() -> None:
    good, bad = Figures(100, 0, 100.0, 10.0, 20.0), Figures(50, 1, 50.0, 20.0, 20.0)
    assert losses([Row("resnet18", "small", 1, reference=bad, wanwu=good)]) == [
        "resnet18, small, 1 connection: 1 requests to reference failed"
    ]
    worse = "\n".join(losses([Row("resnet18", "small", 8, reference=good, wanwu=bad)]))
    for words in (
        "0.50 times the reference's requests/s",
        "2.00 times the reference's p50",
        "1 requests to wanwu failed",
    ):
        assert words in worse
    assert "| 100.0 | 50.0 | **0.50** |" in table([Row("resnet18", "small", 8, reference=good, wanwu=bad)])


@pytest.mark.slow
def test_a_quick_run_measures_both_servers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.run", "--quick", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    result = json.loads(path.read_text())
    assert result["machine"]["cores"] >= 1
    assert len(result["rows"]) in (4, 8)
    for row in result["rows"]:
        assert row["reference"]["requests"] > 0
        assert (row["wanwu"]["requests"] > 0, row["wanwu"]["errors"]) == (True, 0)
