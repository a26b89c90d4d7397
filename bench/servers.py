"""Start and end the two servers that are compared; each is a process group of its own, ended by its id."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 90


class BenchError(Exception):
    """A sentence for whoever runs the benchmark."""


@contextmanager
def reference(weights: Path | None, folder: Path) -> Iterator[int]:
    """The plain reference on a free port, which is yielded."""
    port = free_port()
    options = ["--weights", str(weights)] if weights else []
    command = [sys.executable, "-m", "bench.reference", "--port", str(port), *options]
    with _running("reference", command, {}, port, folder):
        yield port


@contextmanager
def wanwu(weights: Path | None, folder: Path) -> Iterator[int]:
    """Wanwu as `make run` serves it on a free port, which is yielded; without weights EfficientNet-Lite0 answers."""
    port = free_port()
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODELS_DIR": str(empty),
        "TORCH_HOME": str(empty),  # no ResNet-18 from there when EfficientNet-Lite0 is to be measured
        "RESNET18_WEIGHTS": str(weights or ""),
        "RATE_LIMIT": "",
    }
    with _running("wanwu", [sys.executable, "-m", "app", "serve"], settings, port, folder):
        yield port


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _running(name: str, command: list[str], settings: dict[str, str], port: int, folder: Path) -> Iterator[None]:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | settings, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_ready(process, name, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], name: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:  # not listening yet, or 503
            time.sleep(0.2)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise BenchError(f"The server '{name}' did not become ready. Its last lines:\n{last}")
