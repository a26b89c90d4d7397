"""Start, stop and end the servers that are compared; each is a process group of its own, known by its id."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import Contender

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 90


class BenchError(Exception):
    """A sentence for whoever runs the benchmark."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that is up. `precision` is what it says itself; `ready_s` is how long it took from its start."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    precision: str
    ready_s: float

    def rest(self) -> None:
        """Halt it. Some servers poll while they wait, which would be taken from the one that is measured."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let it run again."""
        os.killpg(self.process.pid, signal.SIGCONT)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run for as long as the block lasts."""
        self.wake()
        try:
            yield
        finally:
            self.rest()


@contextmanager
def running(
    contender: Contender, weights: Path | None, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The server on a free port, ready; logs go to `folder`. Without weights EfficientNet-Lite0 answers."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    port = free_port()
    environment = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODELS_DIR": str(empty),
        "TORCH_HOME": str(empty),  # no ResNet-18 from there when EfficientNet-Lite0 is to be measured
        "RESNET18_WEIGHTS": str(weights or ""),
        "RATE_LIMIT": "",
    }
    log = folder / f"{contender.name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            contender.command(port),
            cwd=ROOT,
            env={**os.environ, **environment, **contender.settings, **(settings or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        started = time.monotonic()
        precision = _wait_until_ready(process, contender.name, port, log)
        yield Server(contender.name, port, process, precision, time.monotonic() - started)
    finally:
        _end(process)


def resnet18_weights() -> Path | None:
    """Where ResNet-18's weights lie, or None."""
    named = os.environ.get("RESNET18_WEIGHTS")
    candidates = [Path(named)] if named else [ROOT / "models" / "resnet18-f37072fd.pth"]
    return next((path.resolve() for path in candidates if path.is_file()), None)


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and a moment later end what is left of its group, such as workers that lost their parent."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], name: str, port: int, log: Path) -> str:
    """The precision that it then claims; a server that says nothing of it runs as torch does by itself."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                body = answer.read()
        except OSError:  # not listening yet, or 503
            time.sleep(0.05)
            continue
        return str(json.loads(body)["model"]["precision"]) if body.startswith(b"{") else "float32"
    last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise BenchError(f"The server '{name}' did not become ready. Its last lines:\n{last}")
