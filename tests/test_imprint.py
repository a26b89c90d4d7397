"""A class added to a head: exact where it can be, and nothing taken from the others where it must be weighed."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import Tensor
from torch.nn import functional

from app.errors import ModelError
from app.serving.head import LinearHead, NeighbourHead
from app.serving.imprint import MOST_LOST, grown, row_for, spread_of
from app.training.classic import fit_classic
from app.training.head import MANNERS, Examples, fit_with
from app.training.options import Options

WIDTH = 24


def clusters(classes: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Photos of `classes` around means of their own, all positive and with much in common, as features are."""
    means = torch.rand(10, WIDTH, generator=torch.Generator().manual_seed(5)) * 2 + 1
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(count)
    return means[labels] + 0.3 * torch.randn(len(labels), WIDTH, generator=generator), labels


OLD, OLD_LABELS = clusters(3, 30, seed=0)
EVERY, EVERY_LABELS = clusters(4, 30, seed=1)
NEW = clusters(4, 5, seed=2)[0][15:]


def trained() -> LinearHead:
    fitted = fit_with(Examples(OLD[None], OLD_LABELS), None, 3, Options(), MANNERS[0])
    return LinearHead(fitted.weight, fitted.bias)


def test_a_head_of_class_means_grows_into_scikit_learns_nearest_centroid_of_all() -> None:
    head = fit_classic(Examples(OLD[None], OLD_LABELS), 3, Options(recipe="prototype")).head
    reference = NearestCentroid().fit(torch.cat([OLD, NEW]).numpy(), [*OLD_LABELS.tolist(), *[3] * 5])
    assert (grown(head, NEW, None).logits(EVERY).argmax(1).numpy() == reference.predict(EVERY.numpy())).all()


def test_stored_photos_grow_into_scikit_learns_neighbours_of_all() -> None:
    head = fit_classic(Examples(OLD[None], OLD_LABELS), 3, Options(recipe="knn", neighbours=3)).head
    reference = KNeighborsClassifier(3, metric="cosine").fit(
        torch.cat([OLD, NEW]).numpy(), [*OLD_LABELS.tolist(), *[3] * 5]
    )
    votes = reference.predict_proba(EVERY.numpy())
    assert grown(head, NEW, None).logits(EVERY).exp().numpy() == pytest.approx(3 * votes + 0.05, abs=1e-4)


def test_a_new_photo_has_as_many_votes_as_an_old_one_of_several_views() -> None:
    views = torch.stack([OLD, OLD + 0.01, OLD - 0.01])
    head = fit_classic(Examples(views, OLD_LABELS), 3, Options(recipe="knn", neighbours=3)).head
    more = grown(head, NEW, None, views=3)
    assert isinstance(more, NeighbourHead)
    assert (more.k, len(more.labels)) == (9, 3 * 95)
    assert (more.logits(EVERY[90:]).argmax(1) == 3).float().mean() > 0.9


def test_a_linear_heads_old_rows_stay_and_divide_as_they_did() -> None:
    head = trained()
    more = grown(head, NEW, OLD)
    assert isinstance(more, LinearHead)
    assert more.weight[:3].equal(head.weight)
    assert more.bias[:3].equal(head.bias)
    now = softmax(more.logits(EVERY).numpy(), axis=1)[:, :3]
    assert now / now.sum(1, keepdims=True) == pytest.approx(softmax(head.logits(EVERY).numpy(), axis=1), abs=1e-4)


def test_the_new_row_is_the_way_from_the_old_photos_to_the_new_as_long_as_the_others() -> None:
    head = trained()
    row = row_for(head, NEW, OLD)
    way = NEW.numpy().mean(0) - OLD.numpy().mean(0)
    length = np.linalg.norm(head.weight.numpy(), axis=1).mean()
    assert row.weight.numpy() == pytest.approx(way / np.linalg.norm(way) * length, rel=1e-4)


def test_new_photos_win_and_old_answers_stay() -> None:
    head = trained()
    more = grown(head, NEW, OLD)
    before, now = (one.logits(EVERY).argmax(1) for one in (head, more))
    assert (now[90:] == 3).float().mean() > 0.9
    assert (now[:90] != before[:90]).float().mean() <= MOST_LOST


def test_where_the_new_cannot_be_told_from_the_old_the_old_keep_theirs() -> None:
    """The new photos are of an old class: without a limit half of its photos would go."""
    head = trained()
    row = row_for(head, clusters(3, 5, seed=8)[0][:5], OLD)
    assert (row.over(head, OLD) > 0).float().mean() <= MOST_LOST


def test_without_old_photos_the_new_ones_still_win() -> None:
    head = trained()
    assert (row_for(head, NEW, None).over(head, NEW) > 0).all()


def test_one_photo_is_enough_for_a_row() -> None:
    head = trained()
    assert bool(row_for(head, NEW[:1], OLD).over(head, NEW[:1]) > 0)


def test_the_spread_of_class_means_is_found_and_that_of_other_heads_is_none() -> None:
    head = fit_classic(Examples(OLD[None], OLD_LABELS), 3, Options(recipe="prototype")).head
    assert isinstance(head, LinearHead)
    assert spread_of(head) == pytest.approx(float(OLD.norm(dim=1).mean()) ** 2, rel=1e-4)
    assert spread_of(trained()) is None
    assert spread_of(LinearHead(torch.ones(2, 3), torch.zeros(2))) is None
    assert spread_of(LinearHead(torch.ones(2, 3), torch.tensor([1.0, -1.0]))) is None


def test_a_head_of_another_kind_takes_no_class() -> None:
    class Other:
        classes, width = 2, WIDTH

        def logits(self, features: Tensor) -> Tensor:
            return functional.relu(features[:, :2])

        evidence = logits

    with pytest.raises(ModelError, match="only be added"):
        grown(Other(), NEW, OLD)
