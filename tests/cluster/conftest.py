"""A real Ray cluster on this machine: a head that runs nothing, and two nodes with one replica each."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from flask import Flask
from ray import serve
from ray.cluster_utils import Cluster

from app import create_app
from app.cluster.replica import NAME, Size, application
from app.config import Settings
from tests.conftest import ROOT, write_head
from tests.running import free_port

MEMORY = 100 * 1024**2
"""Of each node's object store, in bytes; Ray's least is 75 MB."""
HERE = {"node_ip_address": "127.0.0.2"}
"""No packet leaves this machine. Ray takes 127.0.0.1 for a mistake, and goes by the machine's own address instead."""

SIZE = Size(min_replicas=2, max_replicas=2)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `models/` that all nodes and the web process see."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def cluster(models_dir: Path) -> Iterator[Cluster]:
    """The cluster, with the networks deployed on it."""
    arguments = {"num_cpus": 0, "object_store_memory": MEMORY, "env_vars": environment(models_dir), **HERE}
    with redis() as records, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_REDIS_ADDRESS", records)  # what the head knows outlives it there
        started = Cluster(initialize_head=True, head_node_args=arguments)
        for _ in range(SIZE.min_replicas):
            add_node(started, models_dir)
        started.wait_for_nodes()
        ray.init(started.address, namespace=NAME, log_to_driver=False)
        serve.start(proxy_location="Disabled")
        serve.run(application(SIZE), name=NAME, route_prefix=None)
        yield started
        serve.shutdown()
        ray.shutdown()
        started.shutdown()


@contextmanager
def redis() -> Iterator[str]:
    """The address of a real Redis."""
    port = free_port()
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        HERE["node_ip_address"],
        "--save",
        "",
        "--protected-mode",
        "no",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"{HERE['node_ip_address']}:{port}"
    finally:
        process.terminate()
        process.wait(10)


def environment(models_dir: Path) -> dict[str, str]:
    """What a node's processes see."""
    return {"MODELS_DIR": str(models_dir), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


def add_node(cluster: Cluster, models_dir: Path) -> None:
    """One more node, with a core for a replica."""
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY, env_vars=environment(models_dir), **HERE)


@pytest.fixture(scope="session")
def service(cluster: Cluster, models_dir: Path) -> Iterator[Flask]:
    """As `tests.conftest.service`, but that the networks run on the cluster."""
    flask_app = create_app(Settings(models_dir=models_dir, engine="ray", ray_address=cluster.address), wait=True)
    flask_app.testing = False
    recogniser = flask_app.extensions["recogniser"]
    write_head(models_dir, "colours", recogniser.mode("imagenet"), ["red", "green", "blue"], ["红", "绿", "蓝"])
    recogniser.manager.refresh()
    yield flask_app
    recogniser.close()
    flask_app.extensions["database"].close()
