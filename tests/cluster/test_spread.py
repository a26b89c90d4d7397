"""`compare` and `train --search` with --ray, on a real cluster: what one machine says, by more hands.

`retrain` is in tests/sites/test_cluster_on_a_store.py.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from ray.cluster_utils import Cluster

from app.registry.state import active_version
from tests.cluster.bulk import Command, free_cluster
from tests.cluster.conftest import environment
from tests.feedback.test_retrain import draw

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spread-models")


@pytest.fixture(scope="module")
def variables(models_dir: Path, toy_weights: Path) -> dict[str, str]:
    return {**environment(models_dir), "RESNET18_WEIGHTS": str(toy_weights), "TORCH_THREADS": "1"}


@pytest.fixture(scope="module")
def cluster(variables: dict[str, str]) -> Iterator[Cluster]:
    with free_cluster(variables) as started:
        yield started


@pytest.fixture
def command(models_dir: Path, variables: dict[str, str]) -> Command:
    return Command(models_dir, **variables)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    draw(tmp_path / "photos" / "train", 6, seed=0)
    draw(tmp_path / "photos" / "test", 12, seed=100)
    return tmp_path / "photos"


def test_a_comparison_has_the_figures_and_the_order_of_one_machine(
    command: Command, cluster: Cluster, photos: Path
) -> None:
    arguments = ("compare", photos, "--recipes", "prototype,knn", "--seeds", "1", "--json")
    spread = rows_in(command(*arguments, "--ray", cluster.address))
    alone = rows_in(command(*arguments))
    assert [row["row"] for row in spread] == ["prototype", "knn"]
    assert [{**row, "seconds": 0} for row in spread] == [{**row, "seconds": 0} for row in alone]


def rows_in(said: str) -> list[dict[str, object]]:
    """The JSON at the end of what a command prints."""
    rows: list[dict[str, object]] = json.loads(said[said.index("[\n") :])
    return rows


def test_the_cores_of_a_cluster_help_a_search(
    command: Command, cluster: Cluster, photos: Path, postgresql: Callable[[], str], models_dir: Path
) -> None:
    url = postgresql()
    search = ("--search", "1.5", "--study", url, "--ray", cluster.address)
    quick = ("--epochs", "2", "--views", "1", "--augmentation", "none", "--device", "cpu")
    said = command("train", photos, "--mode", "searched", *search, *quick)
    assert "2 cores of the cluster help." in said
    assert "failed" not in said
    assert active_version(models_dir / "searched") == "v1"
    storage = RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"))
    (study,) = storage.get_all_studies()
    trials = [trial for trial in storage.get_all_trials(study._study_id) if trial.state != TrialState.WAITING]
    storage.engine.dispose()
    together = [
        (one.number, other.number)
        for one in trials
        for other in trials
        if one.datetime_start and other.datetime_start and one.datetime_complete
        if one.datetime_start < other.datetime_start < one.datetime_complete
    ]
    assert together, "nobody helped"


def test_a_search_on_a_cluster_needs_a_study_that_all_reach(command: Command, photos: Path) -> None:
    said = command("train", photos, "--mode", "searched", "--search", "1", "--ray", "auto", status=1)
    assert "it needs --search MINUTES and --study" in said
