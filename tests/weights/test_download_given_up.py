"""Downloads that cannot succeed: no answer, a refusal, no network, a full disk; and two downloads at once."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.errors import WeightsError
from app.vision.download import TIMEOUT_S, download
from tests.weights.scripted_server import CONTENT, HALF, PREFIX, SHA256, Handler, Server, part_of, silent

ROOT = Path(__file__).parent.parent.parent

SOON_S = 15
"""Far more than the time limits given here, far less than what the servers here would make a patient client wait."""


# No answer


@pytest.mark.parametrize("status", [404, 403, 416, 500, 503])
def test_a_refusal_is_told_with_its_number(server: Server, target: Path, status: int) -> None:
    server.answers = [lambda handler: handler.send(b"sorry", status=status)]
    with pytest.raises(WeightsError, match=f"The server answered {status} "):
        download(server.url, target, PREFIX)
    assert len(server.ranges) == 1
    assert list(target.parent.glob("toy*")) == []


def test_a_stall_and_one_vain_attempt_to_go_on_stay_under_ten_seconds() -> None:
    assert 2 * TIMEOUT_S < 10


def test_a_server_that_never_answers_is_given_up_in_time(server: Server, target: Path) -> None:
    server.answers = [silent]
    began = time.monotonic()
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 did not answer within 0\.3 seconds\."):
        download(server.url, target, PREFIX, timeout_s=0.3)
    assert time.monotonic() - began < SOON_S


def test_a_body_that_stalls_is_given_up_after_one_more_attempt(server: Server, target: Path) -> None:
    def stalling(handler: Handler) -> None:
        handler.send(CONTENT[:HALF], length=len(CONTENT))
        silent(handler)

    server.answers = [stalling, silent]
    began = time.monotonic()
    with pytest.raises(WeightsError, match=r"did not answer within 2 seconds"):
        download(server.url, target, PREFIX, timeout_s=2)
    assert time.monotonic() - began < SOON_S
    assert len(server.ranges) == 2
    assert part_of(target).read_bytes() == CONTENT[:HALF]


def test_a_closed_port_is_told_at_once(target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(WeightsError, match=r"The connection to 127\.0\.0\.1 failed: Connection refused\."):
        download(f"http://127.0.0.1:{port}/", target, PREFIX)
    assert time.monotonic() - began < SOON_S


def test_a_name_that_nobody_knows_is_told_as_a_missing_network(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(WeightsError, match=r"The name weights\.invalid could not be looked up"):
        download("http://weights.invalid/", target, PREFIX)


def test_a_name_server_that_never_answers_is_given_up_in_time(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hanging(*arguments: object, **options: object) -> None:
        released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    began = time.monotonic()
    with pytest.raises(WeightsError, match=r"did not answer within 0\.3 seconds"):
        download("http://weights.invalid/", target, PREFIX, timeout_s=0.3)
    assert time.monotonic() - began < SOON_S
    released.set()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/toy", "toy.pth", ""])
def test_only_http_addresses_are_downloaded_from(target: Path, url: str) -> None:
    with pytest.raises(WeightsError, match="it must begin with http"):
        download(url, target, PREFIX)


# The disk, and two at once


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_and_leaves_no_file(server: Server, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).symlink_to("/dev/full")
    with pytest.raises(WeightsError, match=rf"toy-{PREFIX}\.pth could not be written: No space left on device\."):
        download(server.url, target, PREFIX)
    assert not target.exists()


def test_a_folder_that_cannot_be_made_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="could not be written"):
        download(server.url, tmp_path / "file" / f"toy-{PREFIX}.pth", PREFIX)


def test_two_processes_at_once_fetch_the_file_once(server: Server, target: Path) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.5)
        handler.send_rest()

    server.answers = [slow]
    program = "import sys, pathlib; from app.vision.download import download as d; "
    program += "print(d(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]))"
    command = [sys.executable, "-c", program, server.url, str(target), PREFIX]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == [SHA256, SHA256]
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None]
