"""Downloading one file of known hash, from servers on this machine that behave well, badly, or not at all."""

import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.errors import WeightsError
from app.vision.download import TIMEOUT_S, download

CONTENT = random.Random(18).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PREFIX = SHA256[:8]
HALF = len(CONTENT) // 2
SOON_S = 5
"""Far more than the time limits given here, far less than what the servers here would make a patient client wait."""


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        self.server.asked.append(self.path)
        answers = self.server.answers
        answers[min(len(self.server.ranges), len(answers)) - 1](self)

    def send(self, body: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> None:
        """Answer with `body`, and with a length that may be a lie."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.server.served += len(body)

    def send_rest(self, *, stop: int = len(CONTENT), shift: int = 0) -> None:
        """Answer a Range request as a good server does; `stop` breaks off early, `shift` sends another part."""
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            self.send(b"", status=416, Content_Range=f"bytes */{len(CONTENT)}")
            return
        begin = start - shift
        length = len(CONTENT) - begin
        if start:
            place = f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.send(CONTENT[begin:stop], status=206, length=length, Content_Range=place)
        else:
            self.send(CONTENT[:stop], length=length)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Answers its n-th request with the n-th of `answers`, the last one over and over."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Callable[[Handler], None]] = [Handler.send_rest]
        self.ranges: list[str | None] = []
        self.asked: list[str] = []
        self.served = 0
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/toy-{PREFIX}.pth"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up on purpose


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / f"toy-{PREFIX}.pth"


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def leave_part(target: Path, content: bytes) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(content)


def silent(handler: Handler) -> None:
    handler.server.closing.wait(30)


# A good server


def test_a_file_is_fetched_checked_and_put_in_place(server: Server, target: Path) -> None:
    assert download(server.url, target, PREFIX) == SHA256
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()
    assert server.ranges == [None]


def test_progress_tells_the_bytes_that_are_here_of_all(server: Server, target: Path) -> None:
    told: list[tuple[int, int | None]] = []
    leave_part(target, CONTENT[:HALF])
    download(server.url, target, PREFIX, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (HALF, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


def test_a_file_already_in_place_is_not_asked_for(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert download(server.url, target, PREFIX) == SHA256
    assert server.ranges == []


def test_a_damaged_file_in_place_is_replaced(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1])
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT


def test_a_redirect_is_followed_and_resumed(server: Server, target: Path) -> None:
    leave_part(target, CONTENT[:HALF])
    server.answers = [lambda handler: handler.send(b"", status=302, Location="/elsewhere"), Handler.send_rest]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.asked[1] == "/elsewhere"
    assert server.ranges[1] == f"bytes={HALF}-"


def test_a_body_without_a_length_is_read_to_its_end(server: Server, target: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    told: list[int | None] = []
    server.answers = [endless]
    download(server.url, target, PREFIX, progress=lambda done, total: told.append(total))
    assert target.read_bytes() == CONTENT
    assert set(told) == {None}


def test_a_connection_kept_open_after_the_body_is_not_waited_for(server: Server, target: Path) -> None:
    def lingering(handler: Handler) -> None:
        handler.send(CONTENT)
        silent(handler)

    server.answers = [lingering]
    began = time.monotonic()
    download(server.url, target, PREFIX, timeout_s=20)
    assert time.monotonic() - began < SOON_S


def test_a_proxy_from_the_environment_is_used(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    download("http://weights.invalid/toy.pth", target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["http://weights.invalid/toy.pth"]


# Broken connections


def test_a_connection_that_breaks_half_way_is_resumed_there(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send_rest(stop=HALF), Handler.send_rest]
    assert download(server.url, target, PREFIX) == SHA256
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.served == len(CONTENT)


def test_a_part_left_by_an_earlier_call_is_resumed(server: Server, target: Path) -> None:
    leave_part(target, CONTENT[:1000])
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.served == len(CONTENT) - 1000


def test_a_part_that_is_complete_is_not_asked_for(server: Server, target: Path) -> None:
    leave_part(target, CONTENT)
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == []


def test_a_server_that_ignores_range_is_read_from_the_start(server: Server, target: Path) -> None:
    leave_part(target, b"x" * 1000)
    server.answers = [lambda handler: handler.send(CONTENT)]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_server_that_sends_another_part_is_asked_for_the_whole(server: Server, target: Path) -> None:
    leave_part(target, CONTENT[:1000])
    server.answers = [lambda handler: handler.send_rest(shift=10), Handler.send_rest]
    download(server.url, target, PREFIX, attempts=1)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_a_part_longer_than_the_file_is_started_over(server: Server, target: Path) -> None:
    leave_part(target, b"x" * (len(CONTENT) + 5))
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 5}-", None]


def test_a_part_that_turns_out_wrong_is_thrown_away_and_fetched_once_more(server: Server, target: Path) -> None:
    leave_part(target, b"x" * 1000)
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_a_server_that_always_breaks_off_is_given_up_and_what_came_is_kept(server: Server, target: Path) -> None:
    def a_little(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.send_rest(stop=start + 1000)

    server.answers = [a_little]
    with pytest.raises(WeightsError, match=r"The connection broke off after 3000 of 400000 bytes\."):
        download(server.url, target, PREFIX, attempts=3)
    assert part_of(target).read_bytes() == CONTENT[:3000]
    assert not target.exists()
    server.answers = [Handler.send_rest]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT


# Wrong content


def test_garbage_of_the_right_length_is_thrown_away(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send(b"x" * len(CONTENT))]
    with pytest.raises(WeightsError, match="What came has another SHA-256 than the file's name promises"):
        download(server.url, target, PREFIX)
    assert len(server.ranges) == 1
    assert not target.exists()
    assert not part_of(target).exists()


def test_a_length_that_is_too_short_gives_no_file(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send(CONTENT, length=HALF)]
    with pytest.raises(WeightsError, match="another SHA-256"):
        download(server.url, target, PREFIX)
    assert not target.exists()


def test_a_length_that_is_too_long_does_no_harm(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send(CONTENT, length=len(CONTENT) + 100)]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_a_failed_download_leaves_the_file_in_place_as_it_was(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    server.answers = [lambda handler: handler.send(b"garbage")]
    with pytest.raises(WeightsError):
        download(server.url, target, PREFIX)
    assert target.read_bytes() == b"damaged"


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
    with pytest.raises(WeightsError, match=r"did not answer within 0\.3 seconds"):
        download(server.url, target, PREFIX, timeout_s=0.3)
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
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == [SHA256, SHA256]
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None]
