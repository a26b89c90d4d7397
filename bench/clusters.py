"""A real Ray cluster of several nodes on this machine, for measurements and tests: Ray's own utility, and a Redis."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray import serve
from ray.cluster_utils import Cluster

from app.cluster.replica import NAME, Size, application

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.2"
"""No packet leaves this machine. Ray takes 127.0.0.1 for a mistake, and goes by the machine's own address instead."""
MEMORY = 100 * 1024**2
"""Of each node's object store, in bytes; Ray's least is 75 MB."""


@contextmanager
def cluster(nodes: int, **settings: str) -> Iterator[Cluster]:
    """A head that runs nothing, and so many nodes with a core for a replica each, whose processes see `settings`.

    This process is connected to it.
    """
    with _redis() as records:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_REDIS_ADDRESS"] = records  # what the head knows outlives it there
        try:
            started = Cluster(initialize_head=True, head_node_args=_arguments(0, settings))
        finally:
            del os.environ["RAY_REDIS_ADDRESS"]
        for _ in range(nodes):
            add_node(started, **settings)
        ray.init(started.address, namespace=NAME, log_to_driver=False)
        serve.start(proxy_location="Disabled")
        try:
            yield started
        finally:
            serve.shutdown()
            ray.shutdown()
            started.shutdown()


def add_node(started: Cluster, **settings: str) -> None:
    """One more node."""
    started.add_node(**_arguments(1, settings))


def deploy(size: Size) -> None:
    """Have so many replicas; returns when they are there."""
    serve.run(application(size), name=NAME, route_prefix=None)
    end = time.monotonic() + 120
    while len(replicas()) != size.min_replicas:
        if time.monotonic() > end:
            raise TimeoutError(f"there are {len(replicas())} replicas, not {size.min_replicas}")
        time.sleep(0.2)


def replicas() -> list[int]:
    """The processes of the replicas that live, in order."""
    return sorted(int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _is_replica(path))


def _is_replica(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(f"ray::ServeReplica:{NAME}:".encode())
    except OSError:  # it has ended
        return False


def _arguments(cores: int, settings: dict[str, str]) -> dict[str, object]:
    environment = {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", **settings}
    return {"num_cpus": cores, "object_store_memory": MEMORY, "env_vars": environment, "node_ip_address": ADDRESS}


@contextmanager
def _redis() -> Iterator[str]:
    """The address of a real Redis."""
    with socket.socket() as listener:
        listener.bind((ADDRESS, 0))
        port = listener.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", ADDRESS, "--save", "", "--protected-mode", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"{ADDRESS}:{port}"
    finally:
        process.terminate()
        process.wait(10)
