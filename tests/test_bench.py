"""The benchmark: its load generator counts what really happens, and its report hides nothing."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from app.registry.catalog import scan
from app.registry.versions import read_version
from bench import folders, page, pictures, plots, results, tables
from bench.contenders import Contender
from bench.growth import PARTS
from bench.heads import mode_key, write_heads
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


def test_pictures_have_their_size_and_no_two_views_are_alike(tmp_path: Path) -> None:
    pictures.of_size(tmp_path / "large.jpg", 0.3)
    with Image.open(tmp_path / "large.jpg") as large:
        assert large.width * 3 == large.height * 4
        assert large.width * large.height == pytest.approx(0.3e6, rel=0.02)
    folder = tmp_path / "many"
    folder.mkdir()
    pictures.many(folder, 3)
    assert len({path.read_bytes() for path in folder.iterdir()}) == 3


def test_drawn_modes_stand_on_the_base_model(toy_weights: Path, tmp_path: Path) -> None:
    write_heads(tmp_path, range(2, 4), toy_weights)
    entries = scan(tmp_path)
    assert set(entries) == {mode_key(2), mode_key(3)}
    first, second = (read_version(entry.path) for entry in entries.values())
    assert first[0].backbone == second[0].backbone
    assert not (first[1]["weight"] == second[1]["weight"]).all()


def test_the_newest_result_of_a_name_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01T000000Z-starts.json").write_text('{"old": 1}')
    path = results.save("starts", tmp_path, {"ready_s": {}}, {"cores": 2})
    assert results.newest("starts", tmp_path)["ready_s"] == {}
    assert json.loads(path.read_text())["machine"] == {"cores": 2}
    with pytest.raises(FileNotFoundError, match="livez"):
        results.newest("livez", tmp_path)


def point(x: float, value: float) -> dict[str, float]:
    return {"x": x, "requests": 1, "errors": 0, "requests_s": value, "p50_ms": value, "p99_ms": value}


CURVES = {"Wanwu float32": [point(1, 10), point(4, 20)], "Wanwu int8": [point(1, 30), point(4, float("nan"))]}


def test_a_plot_is_a_file_that_stands_alone() -> None:
    for logarithmic in (True, False):
        svg = plots.curves(plots.Plot("Rate", "connections", "requests_s", logarithmic), CURVES)
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme: dark" in svg
        assert len(root.findall(".//{*}polyline")) == 1  # a single point is a dot
    svg = plots.bars("Rate", {"reference": 1.0, "Wanwu int8": 4.0})
    widths = [float(one.get("width", "")) for one in ElementTree.fromstring(svg).findall(".//{*}rect")[1:]]
    assert widths[1] == pytest.approx(4 * widths[0])


def test_tables_say_what_was_reached() -> None:
    assert tables.curves({"curves": CURVES}, "connections").splitlines()[2] == (
        "| 1 | 10.0 | 10.0 | 10.0 | 30.0 | 30.0 | 30.0 |"
    )
    grown = {"servers": {"Wanwu int8": [{"x": 20, "mb": 400.0}, {"x": 100, "mb": 560.0}]}}
    printed = tables.memory(grown)
    assert "| Wanwu int8: MB with 20 modes | 400 | ≤ 500 | yes |" in printed
    assert "| Wanwu int8: MB for each further mode | 2.00 | ≤ 1 | **no** |" in printed
    assert "| 1.200 × | ≤ 1.1 | **no** |" in tables.at_once({"modes": {"Wanwu int8": {"one_ms": 10, "five_ms": 12}}})


def test_a_folder_is_timed_with_and_without_its_start() -> None:
    speed = folders.speed(whole=[6.0, 5.0, 99.0], start=[2.0, 2.01, 1.0])
    assert speed == {"whole_s": 6.0, "start_s": 2.0, "pictures_s": (folders.PICTURES - 1) / 4}


def test_the_page_is_filled_at_its_markers() -> None:
    text = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    once = page.replaced(text, "x", "new \\1")
    assert once == "a\n<!-- begin x -->\nnew \\1\n<!-- end x -->\nb\n"
    assert page.replaced(once, "x", "new \\1") == once
    with pytest.raises(ValueError, match="stands 0 times"):
        page.replaced(text, "y", "")


def test_the_page_has_a_place_for_each_table_and_a_file_for_each_plot() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- begin (\S+) -->", text)) == set(page.TABLES)
    assert set(re.findall(r"\(performance/(\S+)\.svg\)", text)) == {*page.CURVES, *page.BARS}
    assert {part for part, _ in page.TABLES.values()} == {*PARTS, "serving"}


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
