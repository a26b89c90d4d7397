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

from bench.contenders import Contender
from bench.load import Outcome, encode, measure
from bench.report import Bar, Figures, Row, bars_table, figures, losses, table
from bench.servers import running
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
        outcome = asyncio.run(measure(port, encode([b"x" * 1000]), connections=2, seconds=0.5))
    assert outcome.errors == 0
    assert 2 <= len(outcome.latencies_ms) <= 2 * (0.5 / 0.05) + 2
    assert min(outcome.latencies_ms) >= 50
    assert min(sizes) > 1000


def test_refusals_are_errors_and_no_answers() -> None:
    with server(503, 0, keeps_alive=True) as (port, _):
        outcome = asyncio.run(measure(port, encode([b"x"]), connections=1, seconds=0.2))
    assert outcome.errors > 0
    assert outcome.latencies_ms == []


def test_a_request_carries_as_many_pictures_as_asked() -> None:
    head, _, body = encode([b"one", b"two"], "/predict?mode=birds").partition(b"\r\n\r\n")
    assert head.startswith(b"POST /predict?mode=birds HTTP/1.1\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert body.count(b'name="file"') == 2
    assert encode([], "/livez").startswith(b"GET /livez HTTP/1.1\r\n")


def test_a_disturbed_round_does_not_move_the_median() -> None:
    calm = Outcome(1.0, 0, [10.0] * 100)
    of = figures([calm, Outcome(1.0, 2, [1000.0]), calm])
    assert (of.requests, of.errors, of.requests_s, of.p50_ms) == (201, 2, 100.0, 10.0)
    assert of.p99_ms == 10.0
    assert figures([calm, Outcome(1.0, 0, [1000.0] * 10)]).p99_ms == 1000.0


GOOD, BAD = Figures(100, 0, 100.0, 10.0, 20.0), Figures(50, 1, 50.0, 20.0, 20.0)


def row(connections: int, **servers: Figures) -> Row:
    return Row("resnet18", "small", connections, {name.replace("_", " "): of for name, of in servers.items()})


def test_the_report_says_where_wanwu_loses() -> None:
    assert losses([row(1, reference=BAD, Wanwu_int8=GOOD)]) == [
        "resnet18, small, 1 connection: 1 requests to reference failed"
    ]
    assert losses([row(8, reference=GOOD, Wanwu_int8=BAD, OpenVINO=GOOD)]) == [
        "resnet18, small, 8 connections: Wanwu int8 is behind reference: requests/s 0.50 ×, p50 2.00 ×",
        "resnet18, small, 8 connections: Wanwu int8 is behind OpenVINO: requests/s 0.50 ×, p50 2.00 ×",
        "resnet18, small, 8 connections: 1 requests to Wanwu int8 failed",
    ]
    printed = table([row(8, reference=GOOD, Wanwu_int8=BAD)], {"Wanwu int8": "int8"})
    assert "| Wanwu int8 | int8 | 50.0 | **0.50** | 20.0 | **2.00** |" in printed


def test_a_bar_is_reached_or_not() -> None:
    rows = [row(n, reference=BAD, Wanwu_int8=GOOD) for n in (1, 8)]
    printed = bars_table([Bar("small", "Wanwu int8", 1.9, 0.3), Bar("large", "Wanwu int8", 1, 1)], rows)
    assert printed.splitlines()[2:] == ["| small | Wanwu int8 | 2.00 × | ≥ 1.9 × | yes | 0.50 × | ≤ 0.3 × | **no** |"]


def test_a_server_rests_until_it_is_its_turn(tmp_path: Path) -> None:
    script = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"model": {"precision": "int4"}}')
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

    def state() -> str:
        return Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def soon(*states: str) -> bool:
        deadline = time.monotonic() + 5
        while state() not in states and time.monotonic() < deadline:
            time.sleep(0.01)
        return state() in states

    with running(Contender("plain", "", ("-c", script)), None, tmp_path) as server:
        assert server.precision == "int4"
        server.rest()
        assert soon("T")
        with server.awake():
            assert soon("S", "R")
        assert soon("T")
    assert server.process.returncode is not None


def test_what_is_not_installed_is_missed() -> None:
    assert Contender("rival", "", (), modules=("json", "no_such_module")).missing() == ["no_such_module"]


@pytest.mark.slow
def test_a_quick_run_measures_both_servers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.run", "--quick", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    result = json.loads(path.read_text())
    assert result["machine"]["cores"] >= 1
    assert {(row["picture"], row["connections"]) for row in result["rows"]} == {
        (picture, connections) for picture in ("small 0.2 MP", "phone 12 MP") for connections in (1, 8)
    }
    for row in result["rows"]:
        for name in ("reference", "Wanwu float32"):
            assert row["servers"][name]["requests"] > 0
        assert row["servers"]["Wanwu float32"]["errors"] == 0
