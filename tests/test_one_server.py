"""Four workers are one server to whoever asks: the same limits, one page of metrics, one training at a time."""

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.serving.loading import Loader
from bench.load import encode
from tests.measuring import total, write_photos
from tests.running import ROOT, clean_environment, free_port, wait_until_ready
from tests.trying import write_sure

pytestmark = pytest.mark.slow
WORKERS = 4


class Server:
    """Four workers with one rate for each client; a client is an address of the loopback network."""

    def __init__(self, port: int, log: Path, process: "subprocess.Popen[bytes]") -> None:
        self.port, self.log, self.process = port, log, process

    def send(self, client: int, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
        """One request on a connection of its own, so that any worker may take it; the status and the answer."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=60, source_address=(f"127.0.0.{client}", 0)
        )
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def at_once(self, number: int, *request: Any) -> Counter[int]:
        """The statuses of so many requests, eight at a time."""
        with ThreadPoolExecutor(8) as callers:
            return Counter(status for status, _ in callers.map(lambda _: self.send(*request), range(number)))

    def page(self) -> str:
        return self.send(1, "GET", "/metrics")[1].decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    version = write_sure(models, Loader(Settings(models_dir=models)).base(), "v1", ("owl", "kite"), 0)
    write_photos(version, owl=30, kite=10)
    port, log = free_port(), models.parent / "one-server.log"
    environment = clean_environment() | {
        "PORT": str(port), "MODELS_DIR": str(models), "TORCH_HOME": str(models), "WEB_CONCURRENCY": str(WORKERS),
        "RATE_LIMIT": "10/minute", "ADMIN_LOOPBACK": "1", "LOG_FORMAT": "json", "MAX_QUEUE": "120",
    }  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=output
        )
    try:
        wait_until_ready(process, port, log)
        until(lambda: log.read_text().count("mode birds is served") == WORKERS)
        yield Server(port, log, process)
    finally:
        process.terminate()
        assert process.wait(40) == 0


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.2)


def test_of_forty_requests_of_one_client_exactly_ten_pass_whichever_worker_took_them(server: Server) -> None:
    assert server.at_once(40, 2, "POST", "/predict") == {400: 10, 429: 30}
    assert server.at_once(5, 3, "POST", "/predict") == {400: 5}, "another client has its own ten"


def test_of_thirty_guesses_of_the_token_ten_are_looked_at(server: Server) -> None:
    assert server.at_once(30, 4, "POST", "/login", b"token=a", "application/x-www-form-urlencoded") == {
        403: 10,
        429: 20,
    }


def test_metrics_and_drift_are_of_all_workers_whichever_is_asked(server: Server, cat_jpeg: bytes) -> None:
    head, _, body = encode([cat_jpeg] * 12).partition(b"\r\n\r\n")
    kind = next(line for line in head.decode().split("\r\n") if line.lower().startswith("content-type")).split(": ")[1]
    with ThreadPoolExecutor(10) as callers:
        posts = [callers.submit(server.send, 5, "POST", "/predict?mode=birds", body, kind) for _ in range(10)]
        until(
            lambda: (
                total(
                    server.page(),
                    "wanwu_pictures_in_flight",
                )
                > 0
                or all(post.done() for post in posts)
            )
        )
        until(lambda: total(server.page(), "wanwu_queue_pictures", state="waiting") > 0, 20)
        assert [post.result()[0] for post in posts] == [200] * 10
    pages = [server.page() for _ in range(8)]
    for page in pages:
        assert total(page, "wanwu_answers_total", mode="birds", version="v1", label="owl") == 120
        assert total(page, "wanwu_pictures_total", mode="birds", outcome="known") == 120
        assert total(page, "wanwu_stage_seconds_count", mode="birds", stage="infer", precision="float32") == 10
        assert total(page, "wanwu_class_drift", mode="birds") == pytest.approx(0.3721, abs=1e-3)
    until(lambda: total(server.page(), "wanwu_queue_pictures") == 0)


def test_memory_is_that_of_all_workers(server: Server) -> None:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    workers = [resident(pid) for pid in children]
    assert len(workers) == WORKERS
    assert total(server.page(), "wanwu_resident_bytes") == pytest.approx(sum(workers), rel=0.2)


def resident(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_of_trainings_of_one_mode_asked_for_at_once_one_runs(server: Server) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: server.send(6, "POST", "/api/modes/birds/retrain"), range(8)))
    assert Counter(status for status, _ in answers) == {202: 1, 409: 7}
    (begun,) = [json.loads(body)["id"] for status, body in answers if status == 202]
    assert server.send(6, "DELETE", f"/api/jobs/{begun}")[0] == 200


def test_every_line_of_the_log_is_an_object_and_each_request_has_one(server: Server) -> None:
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    predictions = [line for line in lines if line.get("path") == "/predict"]
    assert len({line["request_id"] for line in predictions}) == len(predictions) == 40 + 5 + 10
    assert "127.0.0." not in "".join(json.dumps(line) for line in lines if line["logger"] != "gunicorn.error")
    assert Counter(line["code"] for line in predictions) == {"no_file": 15, "rate_limited": 30, None: 10}
