"""Full load for as long as one likes: `python -m bench.soak --minutes 30`, or `make soak MINUTES=30`.

Small photos, large ones, batches and damaged files come at once, to a server of its own, in ten rounds. After each the
memory, the threads and the open files of all its processes are looked at, and how long the small photos took. It ends
with 1 where a request failed, or where the last three rounds hold more than the second to the fourth.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

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
"""What the memory may have grown by: a batch of large pictures under way or not."""
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


def start_and_end(figures: Sequence[float]) -> tuple[float, float]:
    """The medians of the second to the fourth round, the first having been for warming up, and of the last three."""
    return median(figures[1:4]), median(figures[-3:])


def troubles(rounds: list[Round]) -> list[str]:
    """What is wrong, a sentence each: a request that failed, or something that grew."""
    failed = sum(one.failed for one in rounds)
    grown = {
        "MB of memory": ([one.mb for one in rounds], MORE_MB),
        "threads": ([one.threads for one in rounds], MORE_THREADS),
        "open files": ([one.files for one in rounds], MORE_FILES),
    }
    # One look may fall on a batch of large pictures: three of them tell what is held.
    medians = {name: (*start_and_end(held), more) for name, (held, more) in grown.items()}
    found = [f"{name}: {before:.0f} in the second to fourth round, {after:.0f} in the last three"
             for name, (before, after, more) in medians.items() if after > before + more]  # fmt: skip
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
    start, end = start_and_end([one.p99_ms for one in rounds])
    print(f"p99 in the last three rounds: {end / start:.2f} times that of the second to fourth (medians)")
    found = troubles(rounds)
    print("\n".join(found) or "Nothing failed, and nothing grew.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
