"""Telling known photos from unknown ones: what is held out, which score is kept, and how sure it must be."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve
from torch import Tensor
from torch.nn import functional

from app.registry.manifest import ScoreReference
from app.serving.score import score_of, sureness_of
from app.training.calibration import calibrate, cross_validated
from app.training.crossfit import Fit, HeldOut, Logits, cross_fitted, folds, left_out
from app.training.head import Examples, class_means
from app.training.options import Options
from app.training.references import NAMES, raw_scores, reference_tensors, standard_of
from app.training.separation import accepted_shares, false_positive_rate, figures_of
from app.training.trained import Trained
from app.training.unknown import choose_score

WIDTH, CLASSES, EACH = 16, 3, 20


def examples(each: int = EACH, seed: int = 0, spread: float = 0.6) -> Examples:
    """Clouds of features around one direction for each class, in two views."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(each)
    rows = functional.one_hot(labels, WIDTH).float() + 0.3
    return Examples(rows + spread * torch.randn(2, len(labels), WIDTH, generator=generator).abs(), labels)


def fit(part: Examples, classes: int) -> Logits:
    weight, bias = class_means(part.features[0], part.labels, classes)
    return lambda features: functional.linear(features, weight, bias)


def scored(values: Tensor, labels: Tensor | None = None) -> HeldOut:
    """Photos of which every score says the same."""
    labels = torch.zeros(len(values)).long() if labels is None else labels
    return HeldOut(torch.zeros(len(values), 2), labels, dict.fromkeys(NAMES, values))


def test_every_photo_is_held_out_once_by_a_head_that_has_not_learned_from_it() -> None:
    seen: list[set[int]] = []
    given = examples()
    names = {tuple(row.tolist()): place for place, row in enumerate(given.features[0])}

    def watching(part: Examples, classes: int) -> Logits:
        seen.append({names[tuple(row.tolist())] for row in part.features[0]})
        return fit(part, classes)

    held = cross_fitted(given, CLASSES, watching)
    assert len(held.labels) == len(given.labels)
    for (learned, out), known in zip(folds(given.labels), seen, strict=True):
        assert set(learned.tolist()) == known
        assert not known & set(out.tolist())
    assert sorted(place for _, out in folds(given.labels) for place in out.tolist()) == list(range(len(given.labels)))


def test_the_only_photo_of_a_class_is_always_learned_from() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    for learned, held in folds(labels):
        assert 5 in learned.tolist()
        assert set(labels[learned].tolist()) == {0, 1, 2}
        assert 5 not in held.tolist()
    assert folds(torch.tensor([0, 1, 2])) == []


def test_photos_without_a_label_are_learned_from_and_never_judged_by() -> None:
    labels = torch.tensor([0, 0, -1, 1, 1, -1])
    for learned, held in folds(labels):
        assert {2, 5} <= set(learned.tolist())
        assert not {2, 5} & set(held.tolist())
    given = examples()
    mixed = Examples(given.features, torch.cat([given.labels[:-5], torch.full((5,), -1)]))
    assert len(reference_tensors("knn", mixed, torch.zeros(2, 2))["known"]) == len(given.labels) - 5
    assert all(-1 not in strangers.labels for _, strangers in left_out(mixed, CLASSES, fit))


def test_a_class_left_out_is_a_stranger_to_the_head_and_to_the_known_photos() -> None:
    classes_seen = []

    def watching(part: Examples, classes: int) -> Logits:
        classes_seen.append(classes)
        assert len(part.features) == 1
        assert sorted(part.labels.unique().tolist()) == list(range(classes))
        return fit(part, classes)

    pairs = list(left_out(examples(), CLASSES, watching))
    assert classes_seen == [CLASSES - 1] * CLASSES
    for number, (known, strangers) in enumerate(pairs):
        assert strangers.labels.unique().tolist() == [number]
        assert len(strangers.labels) == EACH
        assert number not in known.labels.tolist()


def test_of_two_classes_one_alone_leaves_the_probability_nothing_to_say() -> None:
    given = examples()
    two = Examples(given.features[:, : 2 * EACH], given.labels[: 2 * EACH])
    choice = choose_score(list(left_out(two, 2, fit)), "left_out")
    figures = {one.name: one.auroc for one in choice.figures}
    assert figures["msp"] == figures["energy"] == 0.5
    assert figures["knn"] > 0.8
    assert choice.reference.name in ("knn", "mahalanobis", "joint")


def test_the_figures_are_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(3)
    known, strangers = torch.randn(200, generator=generator) + 1, torch.randn(300, generator=generator)
    found = figures_of("knn", known, strangers)
    fpr, tpr, _ = roc_curve([1] * 200 + [0] * 300, torch.cat([known, strangers]).numpy(), drop_intermediate=False)
    assert found.auroc == pytest.approx(np.trapezoid(tpr, fpr))
    assert found.fpr95 == pytest.approx(fpr[tpr >= 0.95].min())


def test_strangers_as_sure_as_the_known_are_all_let_through() -> None:
    assert false_positive_rate(torch.ones(40), torch.ones(7)) == 1.0
    assert false_positive_rate(torch.ones(40), torch.zeros(7)) == 0.0


def test_the_score_that_tells_best_is_kept_and_equal_ones_go_by_simplicity() -> None:
    good, bad = torch.linspace(0.6, 1, 20), torch.linspace(0, 0.7, 20)
    known, strangers = scored(good), scored(bad)
    assert choose_score([(known, strangers)], "given").reference.name == "msp"
    better = HeldOut(known.logits, known.labels, {**known.scores, "knn": good + 1})
    assert choose_score([(better, strangers)], "given").reference.name == "knn"
    assert choose_score([(better, strangers)], "given", "energy").reference.name == "energy"


def test_without_any_stranger_the_probability_is_kept() -> None:
    choice = choose_score([], "left_out")
    assert (choice.reference, choice.figures) == (ScoreReference(), ())


def test_half_way_between_known_and_strangers_it_is_half_sure() -> None:
    known, strangers = torch.linspace(9, 11, 50), torch.linspace(4, 6, 200)
    reference = choose_score([(scored(known), scored(strangers))], "given", "knn").reference
    assert float(sureness_of(reference, torch.tensor([7.5]))) == pytest.approx(0.5, abs=0.03)
    assert float(sureness_of(reference, known).min()) > 0.9
    assert float(sureness_of(reference, strangers).max()) < 0.1


def test_a_score_that_knows_nothing_is_never_sure_the_wrong_way_round() -> None:
    reference = choose_score([(scored(torch.zeros(30)), scored(torch.ones(30)))], "given", "knn").reference
    low, high = sureness_of(reference, torch.tensor([0.0, 1.0])).tolist()
    assert low <= high


def test_what_is_written_beside_a_version_scores_as_the_choice_did() -> None:
    given = examples()
    features = examples(seed=5).features[0]
    logits = fit(given, CLASSES)(features)
    standard = standard_of(cross_fitted(given, CLASSES, fit).scores)
    raw = raw_scores(given, features, logits, standard)
    for name in NAMES:
        reference = ScoreReference(name=name)
        served = score_of(reference, reference_tensors(name, given, standard), WIDTH, logits.shape[1]).raw(
            features, logits
        )
        torch.testing.assert_close(served, raw[name], atol=1e-4, rtol=1e-4)


def test_the_share_accepted_is_told_for_every_hundredth() -> None:
    shares = accepted_shares(torch.tensor([0.1, 0.505, 0.9, 1.0]))
    assert (len(shares), shares[0], shares[10], shares[11], shares[51], shares[100]) == (101, 1.0, 1.0, 0.75, 0.5, 0.25)


def trained(refits: Fit | None = fit) -> Trained:
    train, validation = examples(), examples(each=6, seed=8)
    head = fit(train, CLASSES)
    strangers = torch.randn(60, WIDTH, generator=torch.Generator().manual_seed(4)) - 0.5
    return Trained(
        tensors={},
        features=lambda _name, samples: strangers[: len(samples)],
        head=head,
        train=train,
        validation_features=validation.features[0],
        validation=head(validation.features[0]),
        learned=train,
        fit=refits,
    )


VALIDATION = examples(each=6, seed=8).labels


@pytest.mark.parametrize("refits", [fit, None])
def test_the_threshold_accepts_the_share_that_was_asked_for(refits: Fit | None) -> None:
    strangers = tuple(range(60))
    found = calibrate(trained(refits), VALIDATION, CLASSES, Options(accepted=0.9), strangers)  # type: ignore[arg-type]
    assert found.choice.known == (CLASSES * EACH if refits else len(VALIDATION))
    assert found.choice.unknown == 30  # the other half is left to judge by
    assert found.accepted[0] == 1.0
    assert min(share for at, share in enumerate(found.accepted) if at / 100 <= found.threshold) >= 0.9
    assert found.spare is not None
    assert len(found.spare.labels) == 30


def test_given_strangers_choose_a_score_that_beats_the_softmax_on_others() -> None:
    found = calibrate(trained(), VALIDATION, CLASSES, Options(), tuple(range(60)))  # type: ignore[arg-type]
    judged = trained()
    held = HeldOut(
        judged.validation,
        VALIDATION,
        raw_scores(judged.train, judged.validation_features, judged.validation, found.standard),
    )
    figures = found.on(held)
    assert figures is not None
    kept, softmax = figures
    assert kept.auroc > 0.95
    assert kept.fpr95 < softmax.fpr95


def test_the_cross_validated_error_is_of_temperatures_fitted_elsewhere() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(4).repeat(60)
    logits = 2 * functional.one_hot(labels, 4).float() + torch.randn(240, 4, generator=generator)
    calm, loud = cross_validated(logits, labels), cross_validated(8 * logits, labels)
    assert loud.error_before > 0.1
    assert loud.error_after == pytest.approx(calm.error_after, abs=0.02)
    assert loud.error_after < 0.08
