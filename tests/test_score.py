"""How sure a mode is: each score against an independent reference, and what a version must bring for it."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.special import logsumexp, softmax
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn import functional

from app.errors import ModelError
from app.registry.manifest import ScoreReference
from app.serving.score import PROBABILITY, Score, score_of

WIDTH, CLASSES = 6, 3


def features(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


LOGITS = torch.randn(5, CLASSES, generator=torch.Generator().manual_seed(9))


def raw(name: str, tensors: dict[str, Tensor] | None = None, neighbours: int = 5) -> np.ndarray:
    reference = ScoreReference.model_validate({"name": name, "neighbours": neighbours})
    return Score(reference, tensors or {}).raw(features(5, 1), LOGITS).numpy()


def test_the_scores_on_logits_are_scipys() -> None:
    assert raw("msp") == pytest.approx(softmax(LOGITS.numpy(), axis=1).max(axis=1), abs=1e-6)
    assert raw("max_logit") == pytest.approx(LOGITS.numpy().max(axis=1))
    assert raw("energy") == pytest.approx(logsumexp(LOGITS.numpy(), axis=1), abs=1e-6)


def test_knn_is_the_cosine_of_scikit_learns_kth_neighbour() -> None:
    known = functional.normalize(features(20), dim=1)
    machine = NearestNeighbors(n_neighbors=4, metric="cosine").fit(known.numpy())
    distances, _ = machine.kneighbors(features(5, 1).numpy())
    assert raw("knn", {"known": known}, 4) == pytest.approx(1 - distances[:, -1], abs=1e-6)


def test_knn_of_few_photos_takes_the_farthest() -> None:
    known = functional.normalize(features(2), dim=1)
    cosines = functional.normalize(features(5, 1), dim=1) @ known.T
    assert raw("knn", {"known": known}, 5) == pytest.approx(cosines.min(dim=1).values.numpy())


def test_mahalanobis_is_scipys_distance_to_the_nearest_class_mean() -> None:
    learned = functional.normalize(features(40), dim=1)
    means = learned[:3]
    precision = np.linalg.inv(np.cov(learned.numpy().T) + 0.1 * np.eye(WIDTH))
    root = torch.from_numpy(np.linalg.cholesky(precision)).float()
    seen = functional.normalize(features(5, 1), dim=1).numpy()
    expected = [-min(mahalanobis(one, mean, precision) ** 2 for mean in means.numpy()) for one in seen]
    assert raw("mahalanobis", {"means": means, "root": root}) == pytest.approx(expected, rel=1e-4)


def test_the_sureness_of_the_probability_is_the_calibrated_probability() -> None:
    probabilities = (LOGITS / 2).softmax(dim=1)
    assert PROBABILITY.sureness(features(5), LOGITS, probabilities).equal(probabilities.amax(dim=1))


def test_the_sureness_of_another_score_is_half_at_its_centre_and_rises_with_it() -> None:
    reference = ScoreReference(name="max_logit", centre=1.0, scale=0.5)
    logits = torch.tensor([[1.0, 0.0], [1.5, 0.0], [-9.0, -9.0]])
    sureness = Score(reference, {}).sureness(features(3), logits, logits.softmax(dim=1))
    assert sureness.tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 0.0], abs=1e-6)


def test_a_class_that_was_added_is_lifted_where_it_is_the_answer() -> None:
    score = Score(ScoreReference(name="max_logit"), {"lift": torch.tensor([0.0, 3.0])})
    logits = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    assert score.raw(features(2), logits).tolist() == [1.0, 5.0]


@pytest.mark.parametrize(
    ("name", "tensors", "says"),
    [
        ("knn", {}, "no known"),
        ("mahalanobis", {"means": torch.ones(2, WIDTH)}, "no root"),
        ("knn", {"known": torch.ones(4, WIDTH + 1)}, "does not fit"),
        ("knn", {"known": torch.ones(0, WIDTH)}, "does not fit"),
        ("energy", {"lift": torch.zeros(3)}, "lifts"),
    ],
)
def test_a_score_without_what_it_compares_with_is_refused(name: str, tensors: dict[str, Tensor], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        score_of(ScoreReference.model_validate({"name": name}), tensors, WIDTH, 2)
