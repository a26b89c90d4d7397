"""Heads on features, against scikit-learn: class means, discriminants, neighbours, support vectors."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.svm import LinearSVC
from torch import Tensor

from app.errors import ModelError
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.serving.head import NeighbourHead, head_of
from app.training.classic import fit_classic
from app.training.head import MANNERS, Examples, Manner, class_means, fit_best, fit_with, refit
from app.training.loss import balanced_weights, calibrated_loss
from app.training.options import Options


def blobs(count: int, classes: int = 3, width: int = 8, seed: int = 0, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Features `[count, width]`, not negative as a network's are, around one centre a class; and their labels."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(classes, width, generator=torch.Generator().manual_seed(7)) * 3
    labels = torch.arange(count) % classes
    return (centres[labels] + spread * torch.randn(count, width, generator=generator)).relu(), labels


@pytest.fixture
def train() -> Examples:
    features, labels = blobs(60)
    return Examples(features[None], labels)


@pytest.fixture
def validation() -> Examples:
    features, labels = blobs(60, seed=1)
    return Examples(features[None], labels)


def answers(features: Tensor, weight: Tensor, bias: Tensor) -> list[int]:
    return (features @ weight.T + bias).argmax(1).tolist()


def test_class_means_pick_the_nearest_mean() -> None:
    features, labels = blobs(60)
    seen, _ = blobs(200, seed=1)
    expected = NearestCentroid().fit(features.numpy(), labels.numpy()).predict(seen.numpy())
    assert answers(seen, *class_means(features, labels, 3)) == expected.tolist()


def test_a_class_without_photos_is_never_the_answer() -> None:
    features, labels = blobs(60)
    seen, _ = blobs(200, seed=1)
    assert 3 not in answers(seen, *class_means(features, labels, 4))


def test_the_start_from_whitened_class_means_is_linear_discriminant_analysis(train: Examples) -> None:
    seen, _ = blobs(200, seed=1)
    options = Options(balance="weights", weight_decay=0, learning_rate=1e-12, epochs=1)
    head = fit_with(train, None, 3, options, Manner(shrinkage=0.3, weight_decay=0))
    # scikit-learn shrinks towards the mean variance of *standardised* features: give it features already so.
    rows = train.features[0].numpy().astype(np.float64)
    means = np.stack([rows[train.labels == label].mean(0) for label in range(3)])
    around = rows - means[train.labels]
    covariance = around.T @ around / len(rows)
    shrunk = 0.7 * covariance + 0.3 * np.trace(covariance) / 8 * np.eye(8)
    whitener = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    reference = NearestCentroid().fit(rows @ whitener, train.labels.numpy())
    assert answers(seen, head.weight, head.bias) == reference.predict(seen.numpy() @ whitener).tolist()
    plain = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(rows, train.labels.numpy())
    unshrunk = fit_with(train, None, 3, options, Manner(shrinkage=0.0, weight_decay=0))
    assert answers(seen, unshrunk.weight, unshrunk.bias) == plain.predict(seen.numpy()).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_converged_head_is_scikit_learn_s_logistic_regression(train: Examples, optimizer: str) -> None:
    options = Options(optimizer=optimizer, balance="none", epochs=1500, batch_size=60, warmup=0)
    head = fit_with(train, None, 3, options, Manner(shrinkage=1.0, weight_decay=1e-2))
    centre = train.features[0].mean(0)
    length = (train.features[0] - centre).norm(dim=1).mean()
    rows = (train.features[0] - centre) / length
    reference = LogisticRegression(C=1 / (1e-2 * 60), tol=1e-8, max_iter=2000).fit(rows.numpy(), train.labels.numpy())
    seen = blobs(200, seed=1)[0]
    ours = torch.softmax(seen @ head.weight.T + head.bias, dim=1).numpy()
    theirs = reference.predict_proba(((seen - centre) / length).numpy())
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_the_same_seed_gives_the_same_head_whatever_ran_before(train: Examples, validation: Examples) -> None:
    heads = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        heads.append(fit_best(train, validation, 3, Options(epochs=5)))
    assert torch.equal(heads[0].weight, heads[1].weight)


def test_a_refit_learns_from_the_held_back_photos_too(train: Examples, validation: Examples) -> None:
    options = Options(epochs=5)
    chosen = fit_best(train, validation, 3, options)
    again = refit(train + validation, chosen, 3, options)
    assert again.manner == chosen.manner
    assert again.history == chosen.history
    assert not torch.equal(again.weight, chosen.weight)


def test_what_is_done_for_the_rare_class_helps_it() -> None:
    features, labels = blobs(300, spread=2.0)
    rare = torch.cat([torch.nonzero(labels != 0).flatten(), torch.nonzero(labels == 0).flatten()[:8]])
    train = Examples(features[rare][None], labels[rare])
    seen, truth = blobs(600, seed=1, spread=2.0)
    recall = {}
    for balance in ("none", "adjusted", "weights", "oversample"):
        options = Options(balance=balance, epochs=20)
        head = fit_with(train, None, 3, options, Manner(shrinkage=1.0, weight_decay=1e-3))
        right = (seen @ head.weight.T + head.bias).argmax(1) == truth
        recall[balance] = float(right[truth == 0].float().mean())
    assert min(recall["adjusted"], recall["weights"], recall["oversample"]) > recall["none"] + 0.1


@pytest.mark.slow
def test_a_student_takes_after_its_teacher(train: Examples) -> None:
    swapped = torch.nn.functional.one_hot(2 - train.labels, 3).float()[None] * 10
    student = fit_with(
        Examples(train.features, train.labels, swapped), None, 3, Options(alpha=1.0, epochs=600), Manner(1.0, 1e-5)
    )
    agrees = (train.features[0] @ student.weight.T + student.bias).argmax(1) == 2 - train.labels
    assert agrees.float().mean() > 0.9


def test_neighbours_vote_as_scikit_learn_s_do(train: Examples) -> None:
    classic = fit_classic(train, 3, Options(recipe="knn", neighbours=5))
    seen, _ = blobs(200, seed=1)
    reference = KNeighborsClassifier(5, metric="cosine").fit(train.features[0].numpy(), train.labels.numpy())
    votes = torch.softmax(classic.head.logits(seen), dim=1).numpy()
    np.testing.assert_allclose(votes, reference.predict_proba(seen.numpy()), atol=0.03)


@pytest.mark.parametrize("classes", [2, 3])
def test_support_vectors_answer_as_scikit_learn_s_do(classes: int) -> None:
    features, labels = blobs(60, classes)
    classic = fit_classic(Examples(features[None], labels), classes, Options(recipe="svm", balance="none"))
    scale = float(features.norm(dim=1).mean())
    reference = LinearSVC(random_state=0, max_iter=5000).fit((features / scale).numpy(), labels.numpy())
    seen, _ = blobs(200, classes, seed=1)
    assert classic.head.logits(seen).argmax(1).tolist() == reference.predict((seen / scale).numpy()).tolist()


def test_prototypes_answer_as_the_nearest_centroid(train: Examples) -> None:
    classic = fit_classic(train, 3, Options(recipe="prototype"))
    seen, _ = blobs(200, seed=1)
    reference = NearestCentroid().fit(train.features[0].numpy(), train.labels.numpy())
    assert classic.head.logits(seen).argmax(1).tolist() == reference.predict(seen.numpy()).tolist()


def manifest(head: str) -> Manifest:
    return Manifest(
        mode="birds",
        version="v1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en="Birds", zh="鸟"),
        labels=[ManifestLabel(label="owl"), ManifestLabel(label="kite")],
        backbone=BackboneReference(name="resnet18", fingerprint="f" * 64),
        threshold=0.5,
        head=head,
        neighbours=1,
    )


def test_stored_neighbours_become_a_head() -> None:
    tensors = {"neighbours": torch.eye(2), "labels": torch.tensor([1, 0])}
    head = head_of(manifest("neighbours"), tensors)
    assert isinstance(head, NeighbourHead)
    assert head.logits(torch.tensor([[5.0, 1.0]])).argmax(1).tolist() == [1]


@pytest.mark.parametrize(
    ("kind", "tensors"),
    [
        ("neighbours", {"neighbours": torch.eye(2)}),
        ("neighbours", {"neighbours": torch.eye(2), "labels": torch.tensor([0, 2])}),
        ("neighbours", {"neighbours": torch.eye(2), "labels": torch.tensor([0])}),
        ("linear", {"weight": torch.eye(2)}),
        ("linear", {"weight": torch.eye(2), "bias": torch.zeros(3)}),
    ],
)
def test_a_head_that_does_not_fit_together_is_refused(kind: str, tensors: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError):
        head_of(manifest(kind), tensors)


def test_what_a_version_brings_along_is_written_with_it(tmp_path: Path) -> None:
    from app.registry.versions import write_version

    tensors = {"weight": torch.eye(2), "bias": torch.zeros(2)}
    folder = write_version(tmp_path, manifest("linear"), tensors, {"report.json": b"{}"})
    assert (folder / "report.json").read_bytes() == b"{}"


@pytest.mark.parametrize("manner", MANNERS)
def test_what_was_validated_is_the_very_head_that_is_handed_out(
    train: Examples, validation: Examples, manner: Manner
) -> None:
    twice = Examples(validation.features.repeat(2, 1, 1) * torch.tensor([1.0, 1.1]).view(2, 1, 1), validation.labels)
    head = fit_with(train, twice, 3, Options(), manner)
    logits = head.logits(twice.features.flatten(0, 1))
    expected = calibrated_loss(logits, twice.labels.repeat(2), balanced_weights(train.labels.tolist(), 3))
    assert head.figure == pytest.approx(expected, rel=1e-3)


def test_the_plain_view_weighs_as_much_as_all_varied_ones() -> None:
    """Where one plain view contradicts three varied ones, neither side wins."""
    labels = torch.tensor([0, 1] * 20)
    plain = (1.0 - 2.0 * labels).unsqueeze(1) * torch.ones(1, 2) + torch.tensor([[0.0, 3.0]])
    varied = plain * torch.tensor([[-1.0, 1.0]]) + torch.tensor([[0.0, 2.0]]) * (2.0 * labels - 1).unsqueeze(1)
    features = torch.stack([plain, varied, varied, varied])
    head = fit_with(Examples(features, labels), None, 2, Options(), Manner(shrinkage=1.0, weight_decay=1e-3))
    logits = head.logits(torch.cat([plain, varied]))
    shares = torch.softmax(logits, dim=1)[torch.arange(80), torch.cat([labels, labels])]
    assert shares.min() > 0.4
    assert shares.max() < 0.6


def test_of_single_photos_the_nearest_neighbour_alone_decides() -> None:
    """With five voters of five photos every class would have one vote, whatever the picture."""
    photos = torch.eye(5) + 0.1
    classic = fit_classic(Examples(photos[None], torch.arange(5)), 5, Options(recipe="knn", neighbours=5))
    assert (classic.neighbours, classic.head.logits(photos).argmax(1).tolist()) == (1, [0, 1, 2, 3, 4])
