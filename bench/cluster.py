"""What a cluster costs and gives: `python -m bench.cluster` measures one machine's own engine beside some replicas.

Small photos; 1, 2 and 4 replicas; each round in turn through every server. Replicas are pinned to the cores one after
the other, so that they share one only where there are more of them. Everything runs on this machine: web process, Ray,
Redis and the load.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np

from app.cluster.replica import Size
from app.config import available_cores
from bench import pictures
from bench.clusters import cluster, deploy, replicas
from bench.contenders import wanwu
from bench.load import WARM_UP_S, encode, measure
from bench.results import machine
from bench.servers import Server, resnet18_weights, running

REPLICAS = (1, 2, 4)
CALLERS = 16
ROUNDS = 5


@dataclass
class Figures:
    """Of each round: milliseconds of a lone caller; requests a second and milliseconds with `CALLERS`; and the
    milliseconds of a core that a request then takes of the web processes with their decoders, and of the replicas."""

    lone_p50: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    web_ms: list[float] = field(default_factory=list)
    replica_ms: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """One number each."""
        return {name: round(median(values), 2) for name, values in vars(self).items()}


def look(server: Server, request: bytes, seconds: float, figures: Figures) -> None:
    """One round of one server."""
    with server.awake():
        lone = asyncio.run(measure(server.port, request, 1, seconds / 2))
        before = used_ms(_group(server.process.pid)), used_ms(replicas())
        crowd = asyncio.run(measure(server.port, request, CALLERS, seconds))
        after = used_ms(_group(server.process.pid)), used_ms(replicas())
    if lone.errors or crowd.errors:
        raise SystemExit(f"{server.name}: {lone.errors + crowd.errors} requests failed")
    figures.lone_p50.append(median(lone.latencies_ms))
    figures.rate.append(len(crowd.latencies_ms) / crowd.seconds)
    figures.p50.append(median(crowd.latencies_ms))
    figures.p99.append(float(np.percentile(crowd.latencies_ms, 99)))
    answers = len(crowd.latencies_ms) * (crowd.seconds + WARM_UP_S) / crowd.seconds  # what warms up is not counted
    figures.web_ms.append((after[0] - before[0]) / answers)
    figures.replica_ms.append((after[1] - before[1]) / answers)


def _group(leader: int) -> list[int]:
    """The processes of a server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(folder.name)) == leader:
                found.append(int(folder.name))
    return found


def used_ms(processes: Sequence[int]) -> float:
    """The time of a core that they have taken so far, in milliseconds."""
    ticks = 0
    for process in processes:
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def pin(cores: list[int]) -> None:
    """Each replica to one core, one after the other."""
    for place, process in enumerate(replicas()):
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[place % len(cores)]})


def compare(count: int, seconds: float) -> dict[str, dict[str, float]]:
    """One machine's engine on one core and `count` replicas, round by round; medians of each."""
    weights = str(resnet18_weights() or "")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pictures.small(folder / "small.jpg")
        request = encode([(folder / "small.jpg").read_bytes()])
        settings = {"MODELS_DIR": str(folder / "models"), "RESNET18_WEIGHTS": weights}
        (folder / "models").mkdir()
        started = stack.enter_context(cluster(count, **settings))
        deploy(Size(min_replicas=count, max_replicas=count))
        pin(sorted(os.sched_getaffinity(0)))
        ways = {
            "no Ray, 1 core": {"TORCH_THREADS": "1"},
            "no Ray, all cores": {},
            f"replicas: {count}": {"ENGINE": "ray", "RAY_ADDRESS": started.address},
        }
        servers = [stack.enter_context(_resting(name, more, folder)) for name, more in ways.items()]
        figures = {server.name: Figures() for server in servers}
        for _ in range(ROUNDS):
            for server in servers:
                look(server, request, seconds, figures[server.name])
        return {name: one.medians() for name, one in figures.items()}


@contextmanager
def _resting(name: str, settings: dict[str, str], folder: Path) -> Iterator[Server]:
    """A server of our own, halted until its turn."""
    contender = replace(wanwu("float32"), name=name)
    with running(contender, resnet18_weights(), folder, settings) as server:
        server.rest()
        yield server


def main() -> None:
    """Print the table, and write it into `bench/results/cluster.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each look; five of each")
    seconds = parser.parse_args().seconds
    found = {f"{count}": compare(count, seconds) for count in REPLICAS}
    print(f"{available_cores()} cores; {CALLERS} callers; medians of {ROUNDS} rounds")
    print(f"{'':>20}{'lone p50':>10}{'a second':>10}{'p50':>10}{'p99':>10}{'web ms':>10}{'replica ms':>12}")
    for pair in found.values():
        for name, figures in pair.items():
            print(f"{name:>20}" + "".join(f"{value:>10.1f}" for value in figures.values()))
    out = Path("bench/results/cluster.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine(), "found": found}, indent=1))


if __name__ == "__main__":
    main()
