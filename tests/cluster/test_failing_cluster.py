"""A replica or a whole node dies in the middle of load: that costs time, and no answer. More load, more replicas."""

import json
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ray import serve
from ray.cluster_utils import Cluster

from app.cluster.replica import NAME, application
from bench.clusters import deploy, replicas
from tests.cluster.conftest import SIZE, add_node
from tests.running import post, serving

pytestmark = pytest.mark.slow
CALLERS = 4


@pytest.fixture(scope="module")
def port(cluster: Cluster, models_dir: Path) -> Iterator[int]:
    """A real gunicorn of two workers whose networks run on the cluster."""
    settings = {"ENGINE": "ray", "RAY_ADDRESS": cluster.address, "WEB_CONCURRENCY": "2", "DEADLINE_S": "60"}
    with serving(models_dir, **settings) as chosen:
        yield chosen


def loaded(port: int, picture: bytes, seconds: float, hurt: Callable[[], None]) -> tuple[list[float], list[str]]:
    """Load from `CALLERS` for so long, `hurt` in the middle: the seconds of each answer, and what failed."""
    took: list[float] = []
    failed: list[str] = []
    end = time.monotonic() + seconds

    def call() -> None:
        while time.monotonic() < end:
            started = time.monotonic()
            try:
                assert post(port, picture)["results"][0]["top"]
            except (OSError, AssertionError) as error:
                failed.append(error.read().decode() if isinstance(error, urllib.error.HTTPError) else repr(error))
            took.append(time.monotonic() - started)

    with ThreadPoolExecutor(CALLERS) as callers:
        for _ in range(CALLERS):
            callers.submit(call)
        time.sleep(seconds / 4)
        hurt()
    return took, failed


def wait_for_replicas(number: int, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    time.sleep(1)  # for one that has just been killed to be gone
    while len(replicas()) < number:
        assert time.monotonic() < end, f"there are {len(replicas())} replicas"
        time.sleep(0.5)


def test_a_server_that_is_told_to_stop_answers_first_what_it_has_taken_in(
    cluster: Cluster, tmp_path: Path, cat_jpeg: bytes
) -> None:
    with ThreadPoolExecutor(40) as callers:
        with serving(tmp_path, ENGINE="ray", RAY_ADDRESS=cluster.address) as port:
            post(port, cat_jpeg)
            answers = [callers.submit(post, port, cat_jpeg) for _ in range(40)]
            time.sleep(1)  # until they are in
        assert all(answer.result()["results"] for answer in answers)
    assert "exited with code" not in (tmp_path / "serve.log").read_text()  # as a worker that Ray ends


def test_a_replica_that_is_killed_costs_no_answer(port: int, cat_jpeg: bytes) -> None:
    wait_for_replicas(2)
    victim = replicas()[0]

    took, failed = loaded(port, cat_jpeg, 12, lambda: os.kill(victim, signal.SIGKILL))
    assert failed == []
    assert len(took) > 20
    assert victim not in replicas()
    wait_for_replicas(2)


def test_a_node_that_is_lost_costs_no_answer(port: int, cluster: Cluster, models_dir: Path, cat_jpeg: bytes) -> None:
    wait_for_replicas(2)
    node = list(cluster.worker_nodes)[-1]
    took, failed = loaded(port, cat_jpeg, 20, lambda: cluster.remove_node(node, allow_graceful=False))
    assert failed == []
    assert len(took) > 20
    add_node(cluster, models_dir)
    wait_for_replicas(2)


def test_a_head_that_is_away_and_comes_back_costs_no_answer(port: int, cluster: Cluster, cat_jpeg: bytes) -> None:
    def restart() -> None:
        cluster.head_node.kill_gcs_server()
        time.sleep(6)
        cluster.head_node.start_gcs_server()

    took, failed = loaded(port, cat_jpeg, 20, restart)
    print(f"{len(took)} answers, the longest {max(took):.2f} s")
    assert failed == []
    assert len(took) > 20
    before = set(replicas())
    os.kill(min(before), signal.SIGKILL)
    wait_for_replicas(SIZE.min_replicas)  # it goes on looking after them
    assert len(set(replicas()) - before) == 1
    _, failed = loaded(port, cat_jpeg, 2, lambda: None)
    assert failed == []


def test_a_cluster_that_is_full_says_busy_and_takes_pictures_again_after(
    port: int, cluster: Cluster, cat_jpeg: bytes
) -> None:
    serve.run(application(SIZE.model_copy(update={"max_queued": 1})), name=NAME, route_prefix=None)
    try:
        with ThreadPoolExecutor(40) as callers:
            statuses = [caller.result() for caller in [callers.submit(status, port, cat_jpeg) for _ in range(120)]]
    finally:
        serve.run(application(SIZE), name=NAME, route_prefix=None)
    assert set(statuses) == {(200, ""), (503, "busy")}
    assert statuses.count((200, "")) > 4
    _, failed = loaded(port, cat_jpeg, 2, lambda: None)
    assert failed == []


def test_more_callers_bring_more_replicas(port: int, cluster: Cluster, cat_jpeg: bytes) -> None:
    serve.delete(NAME)  # Serve takes ten minutes of rest to end a replica that is there
    deploy(SIZE.model_copy(update={"min_replicas": 1}))
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            post(port, cat_jpeg)

    with ThreadPoolExecutor(40) as callers:
        calling = [callers.submit(call) for _ in range(40)]
        try:
            wait_for_replicas(2, seconds=240)
        finally:
            stop.set()
    assert [caller.exception() for caller in calling] == [None] * 40
    serve.run(application(SIZE), name=NAME, route_prefix=None)


def status(port: int, picture: bytes) -> tuple[int, str]:
    """The status of an answer, and its error's code."""
    try:
        post(port, picture)
    except urllib.error.HTTPError as error:
        with error:
            assert error.headers["Retry-After"]
            return error.code, json.load(error)["code"]
    return 200, ""
