"""A closed-loop load generator: each connection posts a picture, waits for the answer, and posts again.

A process of its own, on asyncio's plain streams, so that it takes little from the server it measures.
`python -m bench.load PORT PICTURE --connections 8 --seconds 5` prints one JSON object.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

BOUNDARY = b"wanwu-bench"
WARM_UP_S = 0.5
"""What is answered before this is not counted."""


@dataclass
class Outcome:
    """What one run saw: how long each answered request took, in milliseconds, and how many failed."""

    seconds: float = 0.0
    errors: int = 0
    latencies_ms: list[float] = field(default_factory=list)


class Run:
    """Counts what is answered between the end of the warm-up and the deadline.

    A slow server gets longer: until `at_least` requests have ended, so that there is a figure.
    """

    def __init__(self, at_least: int, seconds: float) -> None:
        self.outcome = Outcome()
        self.over = False
        self._at_least = at_least
        self._started = time.perf_counter() + WARM_UP_S
        self._deadline = self._started + seconds

    def count(self, sent: float, ok: bool) -> None:
        """Take down a request that was sent at `sent` and has just ended."""
        now = time.perf_counter()
        if self.over or now < self._started:
            return
        if now < self._deadline or not self._is_enough():
            if ok:
                self.outcome.latencies_ms.append((now - sent) * 1000)
            else:
                self.outcome.errors += 1
            self.outcome.seconds = max(now, self._deadline) - self._started
        self.over = now >= self._deadline and self._is_enough()

    def _is_enough(self) -> bool:
        return len(self.outcome.latencies_ms) + self.outcome.errors >= self._at_least


def encode(pictures: Sequence[bytes], path: str = "/predict") -> bytes:
    """A whole HTTP/1.1 request: the pictures as the multipart fields `file` of a POST; with none of them, a GET."""
    if not pictures:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    head = b'Content-Disposition: form-data; name="file"; filename="picture.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    parts = b"".join(b"--" + BOUNDARY + b"\r\n" + head + picture + b"\r\n" for picture in pictures)
    body = parts + b"--" + BOUNDARY + b"--\r\n"
    lines = (
        f"POST {path} HTTP/1.1".encode(),
        b"Host: 127.0.0.1",
        b"Accept: application/json",
        b"Content-Type: multipart/form-data; boundary=" + BOUNDARY,
        b"Content-Length: %d" % len(body),
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bool]:
    """Send one request and read its answer: the status, and whether the connection stays open."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:"))
    await reader.readexactly(int(length))
    return int(head.split(" ", 2)[1]), "connection: close" not in head


async def connection(port: int, request: bytes, run: Run, pause_s: float) -> None:
    """One caller: keeps its connection while the server does, and opens another one otherwise."""
    writer = None
    while not run.over:
        sent, status, stays = time.perf_counter(), 0, False
        with suppress(OSError, EOFError):  # a broken connection leaves the status at 0, an error like any other
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            status, stays = await exchange(reader, writer, request)
        run.count(sent, ok=status == 200)
        if writer is not None and not stays:
            writer.close()
            writer = None
        # A server that refuses at once would without a pause be all that is measured.
        await asyncio.sleep(pause_s if status == 200 else max(pause_s, 0.05))
    if writer is not None:
        writer.close()


async def measure(
    port: int, request: bytes, connections: int, seconds: float, at_least: int = 0, pause_s: float = 0
) -> Outcome:
    """Load the server with copies of one request for so many seconds, after a short warm-up."""
    run = Run(at_least or connections, seconds)
    await asyncio.gather(*(connection(port, request, run, pause_s) for _ in range(connections)))
    return run.outcome


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--copies", type=int, default=1, help="of the picture in each request; 0: a GET without any")
    parser.add_argument("--path", default="/predict")
    parser.add_argument("--at-least", type=int, default=0, help="answers, however long they take; 0: one a connection")
    parser.add_argument("--pause", type=float, default=0, help="seconds from an answer to the next request")
    options = parser.parse_args()
    request = encode([options.picture.read_bytes()] * options.copies, options.path)
    load = measure(options.port, request, options.connections, options.seconds, options.at_least, options.pause)
    print(json.dumps(asdict(asyncio.run(load))))
