"""A real Ray cluster on this machine: a head that runs nothing, and two nodes with one replica each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from ray.cluster_utils import Cluster

from app import create_app
from app.cluster.replica import Size
from app.config import Settings
from bench import clusters
from bench.clusters import ADDRESS, deploy
from tests.conftest import ROOT, write_head

HERE = {"node_ip_address": ADDRESS}
SIZE = Size(min_replicas=2, max_replicas=2)


@pytest.fixture(scope="package")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `models/` that all nodes and the web process see."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="package")
def cluster(models_dir: Path) -> Iterator[Cluster]:
    """The cluster, with the networks deployed on it."""
    with clusters.cluster(SIZE.min_replicas, **environment(models_dir)) as started:
        deploy(SIZE)
        yield started


def environment(models_dir: Path) -> dict[str, str]:
    """What a node's processes see."""
    return {"MODELS_DIR": str(models_dir), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


def add_node(cluster: Cluster, models_dir: Path) -> None:
    """One more node, with a core for a replica."""
    clusters.add_node(cluster, **environment(models_dir))


@pytest.fixture(scope="module")
def app_settings(cluster: Cluster, models_dir: Path) -> Settings:
    """As `tests.conftest.app_settings`, but that the networks run on the cluster."""
    return Settings(models_dir=models_dir, admin_loopback=True, engine="ray", ray_address=cluster.address)


@pytest.fixture(scope="package")
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
