"""Clients that send a byte now and then, or take nothing: a real server has time for the others, and lets these go."""

import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.running import ROOT, clean_environment, free_port, post, wait_until_ready

pytestmark = pytest.mark.slow
SLOW_CLIENTS = 100
UNFINISHED_HEAD = b"GET / HTTP/1.1\r\nX-Slow: "
HEAD = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: image/jpeg\r\n"
NO_BODY = HEAD + b"Content-Length: 10000000\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with eight places in its queue, and so 24 threads."""
    models = tmp_path_factory.mktemp("models")
    chosen = free_port()
    environment = clean_environment() | {"PORT": str(chosen), "MODELS_DIR": str(models), "MAX_QUEUE": "8"}
    with (models.parent / "serve.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until_ready(process, chosen, models.parent / "serve.log")
        yield chosen
    finally:
        process.terminate()
        assert process.wait(40) == 0
    assert "Traceback" not in (models.parent / "serve.log").read_text()


@contextmanager
def connected(port: int, number: int, first: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have sent `first`."""
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(number)]
        for client in clients:
            client.sendall(first)
        yield clients


def trickle(clients: list[socket.socket], seconds: float) -> list[bytes]:
    """A byte from each, twice a second, until the server lets it go; what that said. Fails where it lets one stay."""
    said = dict.fromkeys(clients, b"")
    gone: set[socket.socket] = set()
    end = time.monotonic() + seconds
    while len(gone) < len(clients):
        assert time.monotonic() < end, f"{len(clients) - len(gone)} are still connected"
        for client in select.select([one for one in clients if one not in gone], [], [], 0.5)[0]:
            piece = received(client)
            said[client] += piece
            if not piece:
                gone.add(client)
        for client in clients:
            if client not in gone and not said[client]:
                with suppress(OSError):
                    client.sendall(b"x")
    return list(said.values())


def answer(client: socket.socket) -> bytes:
    """One answer, which is JSON."""
    client.settimeout(20)
    said = b""
    while not said.endswith(b"}\n"):
        piece = received(client)
        assert piece, said
        said += piece
    return said


def received(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def waited(ask: Callable[[], object]) -> float:
    """Seconds until the answer came."""
    began = time.monotonic()
    ask()
    return time.monotonic() - began


def is_alive(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=20) as answer:
        assert answer.status == 200


def test_a_hundred_clients_without_a_whole_head_take_no_thread_and_are_let_go(port: int, cat_jpeg: bytes) -> None:
    with connected(port, SLOW_CLIENTS // 2, b"") as silent, connected(port, SLOW_CLIENTS // 2, UNFINISHED_HEAD) as slow:
        with ThreadPoolExecutor(1) as background:
            sending = background.submit(trickle, slow, 20)
            assert max(waited(lambda: post(port, cat_jpeg)) for _ in range(4)) < 10
            assert set(sending.result()) == {b""}
        for client in silent:
            client.settimeout(5)
            assert received(client) == b""


def test_a_hundred_slow_uploads_do_not_stop_a_fast_one_and_are_told_so(port: int, cat_jpeg: bytes) -> None:
    with connected(port, SLOW_CLIENTS, NO_BODY) as slow, ThreadPoolExecutor(1) as background:
        sending = background.submit(trickle, slow, 30)
        time.sleep(0.5)
        assert waited(lambda: is_alive(port)) < 20  # all threads may just have been taken
        assert max(waited(lambda: post(port, cat_jpeg)) for _ in range(4)) < 20
        said = sending.result()
    assert all(b" 408 " in one and b'"code":"too_slow"' in one for one in said)


def test_a_client_that_does_not_hang_up_keeps_nobody_waiting(port: int) -> None:
    """gunicorn's own worker waits two seconds for each, and for nothing else meanwhile."""
    with connected(port, 10, b"GET /livez HTTP/1.0\r\n\r\n") as answered:
        assert all(b" 200 " in answer(client) for client in answered)
        assert waited(lambda: is_alive(port)) < 10


def test_a_large_upload_on_a_slow_line_is_waited_for(port: int, cat_jpeg: bytes) -> None:
    body = cat_jpeg + b"\0" * 100_000
    with connected(port, 1, HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()) as (client,):
        for start in range(0, len(body), 10_000):
            client.sendall(body[start : start + 10_000])
            time.sleep(0.2)
        assert b" 200 " in answer(client)


def test_a_head_in_two_pieces_and_one_behind_another_are_answered(port: int) -> None:
    with connected(port, 1, b"GET /livez HTTP/1.1\r\nHost: ") as (client,):
        time.sleep(0.3)
        client.sendall(b"here\r\n\r\nGET /livez HTTP/1.1\r\nHo")
        assert answer(client).startswith(b"HTTP/1.1 200")
        time.sleep(0.3)
        client.sendall(b"st: here\r\n\r\n")
        assert answer(client).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 100000\r\n", b"much less"),
        (b"Transfer-Encoding: chunked\r\n", b"ffff\r\nmuch less"),
        (b"Transfer-Encoding: chunked\r\n", b"no length\r\n"),
    ],
)
def test_a_body_of_another_length_than_it_says_is_refused(port: int, head: bytes, body: bytes) -> None:
    with connected(port, 1, HEAD + head + b"\r\n" + body) as (client,):
        client.shutdown(socket.SHUT_WR)
        said = answer(client)
        assert b" 400 " in said
        assert b'"code":"bad_parameter"' in said


@pytest.mark.parametrize("kind", ["image/jpeg", "multipart/form-data; boundary=edge"])
def test_a_body_of_no_stated_length_is_refused_past_the_limit_and_never_cut(
    port: int, cat_jpeg: bytes, kind: str
) -> None:
    part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    before, after = (b"", b"") if kind == "image/jpeg" else (part, b"\r\n--edge--\r\n")
    head = f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    for padding, expected in ((16 * 1024**2, b" 413 "), (1024**2, b" 200 ")):  # MAX_UPLOAD_MB is 16
        body = before + cat_jpeg + b"\0" * padding + after
        with connected(port, 1, head.encode()) as (client,):
            client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            said = answer(client)
        assert expected in said
        assert expected == b" 200 " or b'"code":"too_large"' in said
