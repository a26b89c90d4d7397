"""Full load for as long as one likes: `python -m bench.soak --minutes 30`, or `make soak MINUTES=30`.

Small photos, large ones, batches and damaged files come at once, to a server of its own, in ten rounds. After each the
memory, the threads and the open files of all its processes are looked at, and how long the small photos took. It ends
with 1 where a request failed, or where at the end more is held than after the second round.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import pictures
from bench.contenders import wanwu
from bench.load import encode, exchange, measure
from bench.memory import resident_mb
from bench.servers import resnet18_weights, running

ROUNDS = 10
SMALL, LARGE, BATCHES = 6, 1, 1
"""Connections that send each kind."""
MORE_MB = 40.0
"""What the memory may have grown by from the second round on: a batch of large pictures under way or not."""
MORE_THREADS, MORE_FILES = 4, 8
"""Connections come and go, and gunicorn makes a thread when one is first wanted."""
_HEADINGS = ("round", "answers", "failed", "p50 ms", "p99 ms", "MB", "threads", "files")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw: answers, failures, milliseconds of the small photos, and what is held at its end."""

    answers: int
    failed: int
    p50_ms: float
    p99_ms: float
    mb: float
    threads: int
    files: int


def soak(seconds: float) -> Iterator[Round]:
    """Ten rounds of a server under load, one after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small, large = folder / "small.jpg", folder / "large.jpg"
        pictures.small(small)
        pictures.large(large)
        requests = [(encode([small.read_bytes()]), SMALL), (encode([large.read_bytes()]), LARGE),
                    (encode([small.read_bytes()] * 4), BATCHES)]  # fmt: skip
        damaged = encode([small.read_bytes()[:5000]])
        with running(wanwu("float32"), resnet18_weights(), folder) as server:
            for _ in range(ROUNDS):
                yield asyncio.run(_round(server.port, server.process.pid, requests, damaged, seconds / ROUNDS))


async def _round(port: int, group: int, requests: list[tuple[bytes, int]], damaged: bytes, seconds: float) -> Round:
    loads = [measure(port, request, connections, seconds) for request, connections in requests]
    *outcomes, refused = await asyncio.gather(*loads, _refused(port, damaged, seconds))
    small = np.array(outcomes[0].latencies_ms or [0.0])
    return Round(
        answers=sum(len(outcome.latencies_ms) for outcome in outcomes),
        failed=sum(outcome.errors for outcome in outcomes) + (not refused),
        p50_ms=float(np.percentile(small, 50)),
        p99_ms=float(np.percentile(small, 99)),
        mb=resident_mb(group),
        threads=_held(group, "task"),
        files=_held(group, "fd"),
    )


async def _refused(port: int, damaged: bytes, seconds: float) -> bool:
    """Whether a damaged picture, sent amid the load once a second, is refused every time."""
    statuses = set()
    for _ in range(max(1, int(seconds) - 1)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        statuses.add((await exchange(reader, writer, damaged))[0])
        writer.close()
        await asyncio.sleep(1)
    return statuses == {422}


def _held(group: int, what: str) -> int:
    """How many threads ("task") or open files ("fd") the processes of the group have."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            if os.getpgid(int(folder.name)) == group:
                count += len(list((folder / what).iterdir()))
    return count


def troubles(rounds: list[Round]) -> list[str]:
    """What is wrong, a sentence each: a request that failed, or something that grew from the second round on."""
    settled, last = rounds[1], rounds[-1]
    failed = sum(one.failed for one in rounds)
    grown = {
        "MB of memory": (settled.mb, last.mb, MORE_MB),
        "threads": (settled.threads, last.threads, MORE_THREADS),
        "open files": (settled.files, last.files, MORE_FILES),
    }
    found = [f"{name}: {before:.0f} after the second round, {after:.0f} at the end"
             for name, (before, after, more) in grown.items() if after > before + more]  # fmt: skip
    return ([f"{failed} requests failed"] if failed else []) + found


def main() -> None:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    seconds = parser.parse_args().minutes * 60
    print("".join(f"{heading:>10}" for heading in _HEADINGS))
    rounds: list[Round] = []
    for one in soak(seconds):
        rounds.append(one)
        cells = [len(rounds), one.answers, one.failed, f"{one.p50_ms:.0f}", f"{one.p99_ms:.0f}", f"{one.mb:.0f}"]
        print("".join(f"{cell:>10}" for cell in [*cells, one.threads, one.files]), flush=True)
    print(f"p99 at the end: {rounds[-1].p99_ms / rounds[1].p99_ms:.2f} times that of the second round")
    found = troubles(rounds)
    print("\n".join(found) or "Nothing failed, and nothing grew.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
