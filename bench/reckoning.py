"""What grows with a cluster, measured, and then reckoned up to a thousand machines: `python -m bench.reckoning`.

Measured: the time of a core that Ray's own processes on the head take for replicas that stand by, and that PostgreSQL
takes to count a request's rate for all workers. From `python -m bench.cluster`: that of a web process and of a replica.
Reckoned: in proportion. It needs a PostgreSQL, as the tests do.
"""

import argparse
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from statistics import median

from ray import serve

from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.feedback.rates import SharedHits
from bench.cluster import used_ms
from bench.clusters import cluster
from tests.databases import postgresql_server

MACHINES = (1, 10, 100, 1000)
CORES = 8
"""Of each machine that is reckoned with, all in use."""
REPLICAS = (1, 20, 40)
SECONDS = 30.0
CALLERS = 8


class Idle:
    """A replica that does nothing: what it costs is Ray's."""

    def __call__(self) -> None:
        """Nothing."""


def head_ms() -> tuple[float, float]:
    """The milliseconds of a core that the head takes each second: without a replica, and for each (over `REPLICAS`)."""
    taken = {}
    with cluster(0) as started:
        started.add_node(num_cpus=max(REPLICAS), object_store_memory=100 * 1024**2, node_ip_address="127.0.0.2")
        for count in REPLICAS:
            scaling = {"min_replicas": count, "max_replicas": count}
            serve.run(serve.deployment(autoscaling_config=scaling)(Idle).bind(), name="idle", route_prefix=None)
            time.sleep(10)  # for the start to be over
            found = _head()
            before = used_ms(found)
            time.sleep(SECONDS)
            taken[count] = (used_ms(found) - before) / SECONDS
            print(f"{count} replicas: {taken[count]:.1f} ms of a core a second", flush=True)
    each = (taken[REPLICAS[-1]] - taken[REPLICAS[0]]) / (REPLICAS[-1] - REPLICAS[0])
    return taken[REPLICAS[0]] - REPLICAS[0] * each, each


def _head() -> list[int]:
    """Ray's processes of which a cluster has one: what it knows, and Serve's controller."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"gcs_server" in path.read_bytes() or path.read_bytes().startswith(b"ray::ServeController"):
                found.append(int(path.parent.name))
    return found


def rate_ms() -> tuple[float, float]:
    """Counting one request in PostgreSQL: the milliseconds that a caller waits (median), and that its cores take."""
    waited: list[float] = []
    with postgresql_server() as server, closing(Database(server.new_database())) as database:
        migrate(database)
        hits = SharedHits(database)
        end = time.monotonic() + SECONDS / 3

        def call() -> None:
            key = uuid.uuid4().hex
            while time.monotonic() < end:
                started = time.perf_counter()
                hits.hit(key, 1_000_000, 60)
                waited.append((time.perf_counter() - started) * 1000)

        before = used_ms(_postgres(server.folder))
        callers = [threading.Thread(target=call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        taken = used_ms(_postgres(server.folder)) - before
    return median(waited), taken / len(waited)


def _postgres(folder: Path) -> list[int]:
    """The processes of a server; those of its connections live as long as these."""
    leader = (folder / "data" / "postmaster.pid").read_text().split()[0]
    listed = subprocess.run(["ps", "--ppid", leader, "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(leader), *map(int, listed.stdout.split())]


def reckon(machines: Sequence[int], web_ms: float, replica_ms: float, head: tuple[float, float], rate: float) -> None:
    """Print what so many machines of `CORES` cores do, and how much of a core the parts need of which there is one."""
    base, each = head
    print(f"{'machines':>10}{'photos/s':>10}{'replicas':>10}{'head, cores':>13}{'PostgreSQL, cores':>19}")
    for count in machines:
        photos = count * CORES * 1000 / (web_ms + replica_ms)
        replicas = count * CORES * replica_ms / (web_ms + replica_ms)
        cores = (base + replicas * each) / 1000, photos * rate / 1000
        print(f"{count:>10}{photos:>10.0f}{replicas:>10.0f}{cores[0]:>13.2f}{cores[1]:>19.2f}")


def main() -> None:
    """Print the coefficients, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("bench/results/cluster.json"), help="of bench.cluster")
    found = json.loads(parser.parse_args().results.read_text())["found"]
    one = found["1"]["replicas: 1"]
    wait, rate = rate_ms()
    head = head_ms()
    print(f"a photo: {one['web_ms']} ms of a core in a web process and its decoders, {one['replica_ms']} in a replica")
    print(f"a replica: {head[1]:.2f} ms of a core a second on the head, beside {head[0]:.0f} without one")
    print(f"a counted request: {rate:.2f} ms of a core in PostgreSQL, {wait:.1f} ms to wait, with {CALLERS} callers")
    reckon(MACHINES, one["web_ms"], one["replica_ms"], head, rate)


if __name__ == "__main__":
    main()
