"""Few photos: what an episode draws, that its recipes are those of scikit-learn, and the mean with its interval."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from scipy.stats import ttest_1samp
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from app.__main__ import main
from app.training.episodes import QUERIES, Pool, draw, judged, learn, mean_of, ways_of
from app.training.options import Options
from tests.adding import draw as draw_photos

MEANS = torch.rand(4, 16, generator=torch.Generator().manual_seed(1)) * 2
LABELS = torch.tensor([0] * 30 + [1] * 30 + [2] * 12 + [3] * 3)
FEATURES = MEANS[LABELS] + 0.6 * torch.randn(75, 16, generator=torch.Generator().manual_seed(2))
POOL = Pool(FEATURES[None], LABELS, ("a", "b", "c", "d"))


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = [0.7, 0.82, 0.64, 0.9, 0.75, 0.71]
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_of(values)
    assert (found.value, found.low, found.high) == pytest.approx((sum(values) / 6, interval.low, interval.high))


def test_an_episode_learns_from_some_photos_and_is_judged_on_others_of_the_same_classes() -> None:
    for seed in range(20):
        episode = draw(POOL, 3, 5, seed)
        assert [len(one) for one in episode.support] == [5, 5, 5]
        for support, query in zip(episode.support, episode.query, strict=True):
            (label,) = {int(LABELS[place]) for place in support + query}
            assert not set(support) & set(query)
            assert len(query) == min(QUERIES, int((label == LABELS).sum()) - 5)
        assert len({int(LABELS[one[0]]) for one in episode.support}) == 3
    assert draw(POOL, 3, 5, 7) == draw(POOL, 3, 5, 7) != draw(POOL, 3, 5, 8)


def test_what_the_photos_do_not_allow_is_said() -> None:
    assert ways_of(POOL, 4, 2) == (4, "")
    assert ways_of(POOL, 5, 2) == (4, "With 2 photos a class, episodes are of 4 classes: there are no more.")
    assert ways_of(POOL, 4, 11)[1].endswith("episodes are of 3 classes: only 3 of 4 classes have more.")
    ways, note = ways_of(POOL, 4, 30)
    assert (ways, note) == (0, "30 photos a class are left out: fewer than two classes have more than 30 photos.")


def test_the_recipes_of_an_episode_are_scikit_learns() -> None:
    episode = draw(POOL, 3, 5, 3)
    taught, asked = POOL.examples(episode.support), POOL.examples(episode.query)
    rows, labels, query = taught.features[0].numpy(), taught.labels.numpy(), asked.features[0]
    centroid = NearestCentroid().fit(rows, labels)
    assert (learn("prototype", POOL, episode, Options())(query).argmax(1).numpy() == centroid.predict(query)).all()
    neighbours = KNeighborsClassifier(5, metric="cosine").fit(rows, labels).predict_proba(query.numpy())
    votes = learn("knn", POOL, episode, Options())(query).exp().numpy()
    assert votes == pytest.approx(5 * neighbours + 0.05, abs=1e-4)
    right = judged(POOL, episode, learn("prototype", POOL, episode, Options()))
    assert right == pytest.approx(float((centroid.predict(query) == asked.labels.numpy()).mean()))


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_a_head_learns_from_as_few_as_there_are(shots: int) -> None:
    right, reference = [], []
    for seed in range(5):
        episode = draw(POOL, 2, shots, seed)
        right.append(judged(POOL, episode, learn("head", POOL, episode, Options())))
        taught, asked = POOL.examples(episode.support), POOL.examples(episode.query)
        other = LogisticRegression().fit(taught.features[0].numpy(), taught.labels.numpy())
        reference.append(other.score(asked.features[0].numpy(), asked.labels.numpy()))
    assert sum(right) > sum(reference) - 0.5


@pytest.fixture
def run(toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("RESNET18_WEIGHTS", str(toy_weights))
    return lambda *arguments: CliRunner().invoke(main, ["evaluate", "imagenet", *map(str, arguments)])


def test_the_command_prints_a_table_or_json(run: Callable[..., Result], tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        draw_photos(tmp_path / "photos" / colour, colour, range(4))
    (tmp_path / "photos" / "red" / "broken.jpg").write_bytes(b"no photo")
    wish = ("--episodes", 3, "--ways", 5, "--shots", "1,2,9", "--episode-recipes", "prototype,head")
    result = run(tmp_path / "photos", *wish, "--episode-views", 1)
    assert result.exit_code == 0, result.output
    assert "resnet18, 12 photos of 3 classes, 2 views of each." in result.stdout
    assert "Left out: 1 photos that cannot be read" in result.stdout
    assert "With 2 photos a class, episodes are of 3 classes: there are no more." in result.stdout
    assert "9 photos a class are left out" in result.stdout
    assert result.stdout.count("| prototype |") == result.stdout.count("| head |") == 2
    facts = json.loads(run(tmp_path / "photos", *wish, "--episode-views", 0, "--json").stdout)
    assert [(row["shots"], row["ways"], row["recipe"], row["episodes"]) for row in facts["rows"]] == [
        (shots, 3, recipe, 3) for shots in (1, 2) for recipe in ("prototype", "head")
    ]
    assert facts["rows"][0]["beside_head"] is not None
    assert facts["rows"][1]["beside_head"] is None


@pytest.mark.parametrize(
    "wish", [("--shots", "1,none"), ("--shots", "0"), ("--episode-recipes", "full"), ("--part", "val"), ("--ways", "1")]
)
def test_a_wish_that_makes_no_sense_is_refused(run: Callable[..., Result], tmp_path: Path, wish: tuple[str]) -> None:
    assert run(tmp_path, "--episodes", 3, *wish).exit_code == 2
