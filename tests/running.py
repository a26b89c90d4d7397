"""Help for the tests that start the real thing: a copy of the checkout, `make run`, a picture posted to it.

Standard library only: `python running.py FOLDER PICTURE` also runs on its own, in a network namespace (test_bundle.py).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
"""What every process gets of the caller's environment: none of make's variables, none of Wanwu's settings."""

START_LIMIT_S = 400
"""From `make run` to ready, with an install before it, on a machine that has other things to do."""

Server = subprocess.Popen[bytes]


def clean_environment(*also: str) -> dict[str, str]:
    """The variables of `KEPT`, and those whose names begin with one of `also`."""
    return {name: value for name, value in os.environ.items() if name in KEPT or (also and name.startswith(also))}


def copy_checkout(target: Path) -> Path:
    """A clone with the working tree's changes on top, and nothing that git ignores."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)
    subprocess.run(["git", "add", "--all"], cwd=target, check=True)
    return target


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def make_run(folder: Path, environment: dict[str, str]) -> Iterator[tuple[Server, int]]:
    """`make run` in `folder` on a free port, ready to answer; it prints into `run.log` there. Ended at the end."""
    port = free_port()
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "run", f"PORT={port}"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until_ready(process, port, folder / "run.log")
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=40)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[int]:
    """The port of a real gunicorn, ready, with its models and its log in `folder`. Ended at the end."""
    port = free_port()
    folders = {"MODELS_DIR": str(folder), "TORCH_HOME": str(folder)}
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, stdout=output, stderr=output,
            env=clean_environment() | folders | {"PORT": str(port)} | settings,
        )  # fmt: skip
    try:
        wait_until_ready(process, port, log)
        yield port
    finally:
        process.terminate()
        assert process.wait(40) == 0


def wait_until_ready(process: Server, port: int, log: Path) -> None:
    """Wait for `/readyz`; say what the server printed when it never is."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:  # not listening yet, or 503
            time.sleep(0.2)
    raise AssertionError(f"not ready after {START_LIMIT_S} s, exit code {process.poll()}:\n{log.read_text()}")


def post(port: int, picture: bytes, query: str = "") -> dict[str, Any]:
    """Post a JPEG to `/predict`; `query` begins with "?"."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict{query}", data=picture, headers={"Content-Type": "image/jpeg"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        content: dict[str, Any] = json.load(answer)
        return content


def bring_loopback_up() -> None:
    """A new network namespace has a loopback device, but it is down; `ip` may not be installed."""
    import fcntl
    import struct

    set_flags, up_and_running = 0x8914, 0x41
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up_and_running))


if __name__ == "__main__":
    if os.environ.pop("NEW_NETWORK", ""):
        bring_loopback_up()
    with make_run(Path(sys.argv[1]), clean_environment("PIP_")) as (_, served_port):
        print(json.dumps(post(served_port, Path(sys.argv[2]).read_bytes())))
