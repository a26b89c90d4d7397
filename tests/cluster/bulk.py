"""Help for the tests of bulk work: a cluster whose cores are free, an S3-compatible server, the command line."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
import pytest
from moto.server import ThreadedMotoServer
from ray.cluster_utils import Cluster

from bench.clusters import MEMORY
from tests.cluster.conftest import HERE, environment
from tests.conftest import ROOT
from tests.running import clean_environment, free_port

LIMIT_S = 200
Row = dict[str, Any]


def until(happened: Callable[[], bool], seconds: float = LIMIT_S) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@contextmanager
def stores() -> Iterator[dict[str, str]]:
    """moto's S3 server with a bucket `photos`; the variables by which everybody finds it."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.stop()


@contextmanager
def free_cluster(variables: dict[str, str], nodes: int = 2) -> Iterator[Cluster]:
    """A head that runs nothing and `nodes` of one core, whose processes see `variables`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 0, "object_store_memory": MEMORY, "env_vars": variables, **HERE}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes):
                cluster.add_node(num_cpus=1, object_store_memory=MEMORY, env_vars=variables, **HERE)
            cluster.wait_for_nodes()
            yield cluster
        finally:
            cluster.shutdown()


class Command:
    """`python -m app …` in a process of its own, as the nodes see the world."""

    def __init__(self, models_dir: Path, **variables: str) -> None:
        self.variables = {**environment(models_dir), **variables}

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "app", *map(str, arguments)],
            cwd=ROOT,
            env={**clean_environment(), **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *arguments: object, status: int = 0) -> str:
        """All that it prints."""
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == status, said
        return said


def rows_at(place: object, **options: Any) -> list[Row]:
    """All rows of an output, of either kind."""
    system, folder = fsspec.core.url_to_fs(str(place), **options)
    system.invalidate_cache()
    rows: list[Row] = []
    for name in system.find(folder):
        with system.open(name, "rb") as file:
            if name.endswith(".jsonl"):
                rows += [json.loads(line) for line in file]
            else:
                rows += pyarrow.parquet.read_table(file).to_pylist()
    return rows


def by_name(rows: list[Row]) -> dict[str, Row]:
    """The rows without their folders, each once; confidences as near as a batch of other company leaves them."""
    named = {}
    for row in rows:
        guesses = [{**guess, "confidence": pytest.approx(guess["confidence"], abs=5e-6)} for guess in row["top"] or []]
        known = row["confidence"]
        confidence = None if known is None else pytest.approx(known, abs=5e-6)
        name = row["path"].rpartition("/")[2]
        assert name not in named
        named[name] = {**row, "path": name, "confidence": confidence, "top": guesses}
    return named
