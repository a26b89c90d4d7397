"""Versions swapped under load: two real workers follow, every answer is of one version, and memory stays flat."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.config import Settings
from app.registry.state import activate
from app.serving.loading import Loader
from tests.conftest import write_head
from tests.running import ROOT, clean_environment, free_port, post, wait_until_ready

pytestmark = pytest.mark.slow
WORKERS, CLIENTS, VERSIONS = 2, 8, 8
SWAPS, SETTLED = 200, 50
"""How many swaps, and after how many of them memory is first weighed."""
PAUSE_S = 0.2
FOLLOWED_S = 8.0
IDLE_S = 8.0
"""Longer than a worker waits until it gives memory back."""
CLASSES = 200
GROWTH_MB = 60
"""What both workers together may have gained in 150 swaps, load and all; were one head in five kept, it would be more:
each has a megabyte."""


@dataclass
class Crowd:
    """Clients that post without pause: what each answer was, and what went wrong."""

    port: int
    picture: bytes
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    """When it was sent and received (`time.monotonic`), and its version."""
    wrong: list[object] = field(default_factory=list)

    @contextmanager
    def posting(self) -> Iterator[None]:
        """They post within it."""
        stop = threading.Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self._post_until, stop) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                stop.set()
        for client in clients:
            client.result()

    def _post_until(self, stop: threading.Event) -> None:
        while not stop.is_set():
            sent = time.monotonic()
            try:
                answer = post(self.port, self.picture, "?mode=swapped&top_k=3")
            except OSError as error:
                self.wrong.append(error)
                continue
            version = answer["model"]["version"]
            labels = [guess["label"] for guess in answer["results"][0]["top"]]
            if len(labels) != 3 or any(not label.startswith(f"{version}:") for label in labels):
                self.wrong.append(answer)
            self.answers.append((sent, time.monotonic(), version))


@dataclass
class Swapper:
    """Switches from one version to the next. That each was checked before is test_library.py's; this is for speed."""

    folder: Path
    swaps: list[tuple[float, str]] = field(default_factory=list)
    """When each was done, and to which version."""

    def swap(self, times: int) -> None:
        for _ in range(times):
            version = f"v{len(self.swaps) % VERSIONS + 2}"
            activate(self.folder, version, action="promote", by="a test", why="")
            self.swaps.append((time.monotonic(), version))
            time.sleep(PAUSE_S)


def memory_mb(master: int) -> float:
    """The resident memory of the workers together."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    assert len(children) == WORKERS
    statuses = [Path(f"/proc/{child}/status").read_text() for child in children]
    return sum(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) for status in statuses) / 1000


def test_two_hundred_swaps_under_load_fail_no_request_mix_no_answer_and_keep_no_memory(
    tmp_path: Path, cat_jpeg: bytes
) -> None:
    models, log, port = tmp_path / "models", tmp_path / "serve.log", free_port()
    models.mkdir()
    base = Loader(Settings(models_dir=models)).base()
    for number in range(1, VERSIONS + 2):
        write_head(models, "swapped", base, [f"v{number}:{n}" for n in range(CLASSES + number)], version=f"v{number}")
    environment = clean_environment() | {
        "PORT": str(port), "MODELS_DIR": str(models), "WEB_CONCURRENCY": str(WORKERS), "TORCH_HOME": str(models),
    }  # fmt: skip
    crowd, swapper = Crowd(port, cat_jpeg), Swapper(models / "swapped")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until_ready(server, port, log)
        while log.read_text().count("mode swapped is served") < WORKERS:
            time.sleep(0.1)
        with crowd.posting():
            swapper.swap(SETTLED)
        time.sleep(IDLE_S)
        settled = memory_mb(server.pid)
        with crowd.posting():
            swapper.swap(SWAPS - SETTLED)
            time.sleep(FOLLOWED_S + 2)
        time.sleep(IDLE_S)
        final = memory_mb(server.pid)
    finally:
        server.terminate()
        assert server.wait(40) == 0
    print(f"{len(crowd.answers)} answers, {settled:.1f} MB after {SETTLED} swaps, {final:.1f} MB after {SWAPS}")
    check(crowd, swapper, re.findall(r"mode swapped is served: .* version (v\d+)", log.read_text()))
    assert final < settled + GROWTH_MB


def check(crowd: Crowd, swapper: Swapper, followed: list[str]) -> None:
    """Nothing failed; no answer is of a version that had been replaced for 2 s; both workers ended on the last one."""
    assert crowd.wrong == []
    assert len(crowd.answers) > SWAPS
    assert len({version for *_, version in crowd.answers}) >= VERSIONS
    ends = [at for at, _ in swapper.swaps[1:]] + [float("inf")]
    spans = [(0.0, swapper.swaps[0][0], "v1")]
    spans += [(at, end, version) for (at, version), end in zip(swapper.swaps, ends, strict=True)]
    for sent, received, version in crowd.answers:
        # A swap is noted just after it is done: half a second more than any promotion takes.
        mine = [span for span in spans if span[2] == version]
        assert any(begin - 0.5 < received and end + FOLLOWED_S > sent for begin, end, _ in mine), (sent, version)
    last = swapper.swaps[-1]
    late = [version for sent, _, version in crowd.answers if sent > last[0] + FOLLOWED_S]
    assert len(late) > CLIENTS
    assert set(late) == {last[1]}
    assert followed[-WORKERS:] == [last[1]] * WORKERS
    assert len(followed) > SWAPS / 5, "the workers saw many of the swaps, not the last one alone"
