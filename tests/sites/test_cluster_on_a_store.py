"""A cluster whose machines share a store and a PostgreSQL and no disk: each node's `models/` is a cache of its own."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from ray.cluster_utils import Cluster

from app.cluster.replica import Size
from app.config import Settings
from app.registry.sharing import attach
from app.registry.site import open_site
from app.registry.state import activate, active_version, locked
from app.serving.served import served_mode
from app.training.order import Order
from app.training.run import train
from bench import clusters
from tests.cluster.bulk import Command
from tests.cluster.test_failing_cluster import loaded
from tests.conftest import ROOT, write_head
from tests.databases import PostgreSQL, postgresql_server
from tests.feedback.correcting import opened
from tests.feedback.test_retrain import QUICK, YELLOW, Place, draw
from tests.running import post, serving
from tests.sites.conftest import S3
from tests.sites.test_two_sites import until

pytestmark = pytest.mark.slow
AWAY_S = 20.0
BROUGHT_S = 10.0


class Shared(NamedTuple):
    """What all machines have in common, and the `models/` of the web server and of the nodes."""

    cluster: Cluster
    database: PostgreSQL
    settings: Settings
    variables: dict[str, str]
    models: Path
    node: Path
    port: int

    def version(self, picture: bytes) -> str:
        return str(post(self.port, picture, "?mode=birds")["model"]["version"])


@pytest.fixture(scope="module")
def shared(s3: S3, toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Two nodes of one core with one replica, and a real gunicorn; "birds" has v1, which is active, v2 and v3."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        import s3fs

        bucket = f"cluster-{uuid.uuid4().hex[:8]}"
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
        database = stack.enter_context(postgresql_server())
        common = {
            "MODELS_STORE": f"s3://{bucket}/wanwu", "DATABASE_URL": database.new_database(), "TORCH_THREADS": "1",
            "RESNET18_WEIGHTS": str(toy_weights), **s3.environment(),
        }  # fmt: skip
        models, node = (tmp_path_factory.mktemp(name) for name in ("web", "node"))
        settings = Settings(
            models_dir=models, models_store=common["MODELS_STORE"], database_url=common["DATABASE_URL"],
            resnet18_weights=toy_weights, torch_threads=1,
        )  # fmt: skip
        open_site(settings)
        stack.callback(attach, models, None)
        base = served_mode("imagenet", settings)
        for version in ("v1", "v2", "v3"):
            write_head(models, "birds", base, ["owl", "kite"], version=version)
        activate(models / "birds", "v1", action="promote", by="ann", why="")
        seen = {"MODELS_DIR": str(node), "PYTHONPATH": str(ROOT), **common}
        cluster = stack.enter_context(clusters.cluster(2, **seen))
        clusters.deploy(Size())
        web = {"ENGINE": "ray", "RAY_ADDRESS": cluster.address, "DEADLINE_S": "60", **common}
        port = stack.enter_context(serving(models, **web))
        yield Shared(cluster, database, settings, common, models, node, port)


def test_what_is_promoted_at_the_web_server_a_replica_takes_from_the_store(shared: Shared, cat_jpeg: bytes) -> None:
    assert shared.version(cat_jpeg) == "v1"
    activate(shared.models / "birds", "v2", action="promote", by="ann", why="")
    until(lambda: shared.version(cat_jpeg) == "v2", BROUGHT_S)
    assert (shared.node / "birds" / "v2" / "manifest.json").exists()


def test_the_database_away_for_twenty_seconds_costs_no_answer_of_the_cluster(shared: Shared, cat_jpeg: bytes) -> None:
    def away() -> None:
        shared.database.stop()
        try:
            time.sleep(AWAY_S / 2)
            activate(shared.models / "birds", "v3", action="promote", by="ann", why="S3 needs no database")
            until(lambda: shared.version(cat_jpeg) == "v3", BROUGHT_S)
            time.sleep(AWAY_S / 2)
        finally:
            shared.database.start()

    took, failed = loaded(shared.port, cat_jpeg, AWAY_S + 8, away)
    assert failed == []
    print(f"{len(took)} answers, the longest {max(took):.2f} s")


def test_photos_in_bulk_are_recognised_by_what_the_store_has(shared: Shared, cat_jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(20):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(cat_jpeg)
    command = Command(tmp_path / "models", **shared.variables)  # of a machine that has no modes yet
    answers = tmp_path / "answers"
    command("classify", tmp_path / "photos", "--mode", "birds", "--ray", shared.cluster.address,
            "--format", "jsonl", "-o", answers)  # fmt: skip
    rows = [json.loads(line) for part in answers.rglob("*.jsonl") for line in part.read_text().splitlines()]
    assert len(rows) == 20
    assert {(row["version"], row["error"]) for row in rows} == {(active_version(shared.models / "birds"), None)}


def test_a_mode_is_retrained_on_a_node_from_the_store_and_the_database(shared: Shared, tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "train", 6, seed=0)
    draw(tmp_path / "photos" / "test", 12, seed=100)
    train(Order(tmp_path / "photos", "colours", QUICK, "Colours", "颜色"), shared.settings)
    with opened(shared.settings) as database:
        place = Place(shared.settings, tmp_path / "photos", database)
        written = place.correct(YELLOW, "yellow", train=12, test=9)
        Command(tmp_path / "models", **shared.variables)("retrain", "colours", "--ray", shared.cluster.address)
        with locked(place.mode):
            pass  # to lock it is to bring it up to date
        assert active_version(place.mode) == "v2"
        assert place.used() == ["v2"] * len(written)
    assert active_version(shared.node / "colours") == "v2"
