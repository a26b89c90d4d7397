"""`make run` as a newcomer types it, in a fresh copy of the checkout."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.running import clean_environment, copy_checkout, make_run, post

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("newcomer") / "wanwu")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The machine's own way to its packages, and no weights from the caller's hub cache."""
    return clean_environment("PIP_", "SSL_") | {"TORCH_HOME": str(tmp_path_factory.mktemp("hub"))}


@pytest.fixture
def jpeg(cat: Image.Image, encode: Callable[..., bytes]) -> bytes:
    return encode(cat)


def test_a_fresh_checkout_installs_and_serves(checkout: Path, environment: dict[str, str], jpeg: bytes) -> None:
    with make_run(checkout, environment) as (process, port):
        answer = post(port, jpeg)
        process.send_signal(signal.SIGTERM)  # what a supervisor sends to make reaches the server
        process.wait(timeout=40)
    assert "cat" in answer["results"][0]["top"][0]["label"]
    assert "Installing" in (checkout / "run.log").read_text()
    assert is_closed(port)


def test_a_second_run_installs_nothing_and_ends_cleanly(
    checkout: Path, environment: dict[str, str], jpeg: bytes
) -> None:
    if not (checkout / ".venv").exists():
        pytest.fail("the test before this one makes .venv; run them together")
    packages = fingerprint(checkout / ".venv")
    with make_run(checkout, environment) as (process, port):
        assert "Installing" not in (checkout / "run.log").read_text()
        assert fingerprint(checkout / ".venv") == packages
        answer = post_around(port, jpeg, lambda: os.kill(only_child(process.pid), signal.SIGTERM))
        assert process.wait(timeout=40) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_wrong_setting_is_one_sentence(checkout: Path, environment: dict[str, str]) -> None:
    with (
        pytest.raises(AssertionError) as refusal,
        make_run(checkout, environment | {"PRECISION": "float7"}),
    ):
        pass
    assert "PRECISION" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def fingerprint(venv: Path) -> dict[str, int]:
    """When each installed package and each stamp was written."""
    return {path.name: path.stat().st_mtime_ns for path in [*venv.glob("*.stamp"), *venv.glob("lib/*/site-packages/*")]}


def only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def post_around(port: int, picture: bytes, meanwhile: Callable[[], None]) -> bytes:
    """Post a picture, and do something when half of it is sent and the server is reading it."""
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    half = len(picture) // 2
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode() + picture[:half])
        time.sleep(0.5)
        meanwhile()
        time.sleep(1.5)
        connection.sendall(picture[half:])
        return connection.recv(1 << 16)


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
