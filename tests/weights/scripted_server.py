"""A web server on this machine that answers as it is told: well, badly, or not at all."""

import hashlib
import random
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTENT = random.Random(18).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PREFIX = SHA256[:8]
HALF = len(CONTENT) // 2


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
        self.server.served += len(body)
        self.wfile.write(body)

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


def silent(handler: Handler) -> None:
    """Never answer, or never go on."""
    handler.server.closing.wait(30)


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def leave_part(target: Path, content: bytes) -> None:
    """As an earlier call left it that was broken off."""
    target.parent.mkdir()
    part_of(target).write_bytes(content)
