"""What training makes small, against cases worked by hand, torch's own losses and scikit-learn's weights."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from app.training.loss import (
    ClassificationLoss,
    DistillationLoss,
    annealed,
    balanced_weights,
    calibrated_loss,
    loss_for,
)


def test_distillation_of_a_case_worked_by_hand() -> None:
    # Teacher (ln 4, 0) and student (0, ln 4) at T = 1: p = (0.8, 0.2), q = (0.2, 0.8).
    # KL(p || q) = 0.8 ln(0.8 / 0.2) + 0.2 ln(0.2 / 0.8) = 0.6 ln 4. Hard part, label 0: -ln 0.2.
    student, teacher = torch.tensor([[0.0, math.log(4)]]), torch.tensor([[math.log(4), 0.0]])
    loss = DistillationLoss(ClassificationLoss(), temperature=1.0, alpha=0.7)
    expected = 0.7 * 0.6 * math.log(4) + 0.3 * math.log(5)
    assert float(loss(student, torch.tensor([0]), teacher)) == pytest.approx(expected, abs=1e-6)


def test_the_soft_part_is_scaled_by_the_square_of_the_temperature() -> None:
    # At T = 2 the logits are halved: p = (2/3, 1/3), q = (1/3, 2/3), KL = ln(2) / 3, times 4.
    student, teacher = torch.tensor([[0.0, math.log(4)]]), torch.tensor([[math.log(4), 0.0]])
    loss = DistillationLoss(ClassificationLoss(), temperature=2.0, alpha=1.0)
    assert float(loss(student, torch.tensor([0]), teacher)) == pytest.approx(4 * math.log(2) / 3, abs=1e-6)


def test_a_student_that_agrees_with_its_teacher_only_pays_for_the_labels() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    loss = DistillationLoss(ClassificationLoss(), alpha=0.7)
    expected = 0.3 * functional.cross_entropy(logits, labels)
    torch.testing.assert_close(loss(logits, labels, logits), expected)


def test_no_gradient_reaches_the_teacher() -> None:
    teacher = torch.randn(2, 3, requires_grad=True)
    student = torch.randn(2, 3, requires_grad=True)
    DistillationLoss(ClassificationLoss())(student, torch.tensor([0, 1]), teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_the_temperature_falls_to_one_on_a_cosine() -> None:
    assert [annealed(4.0, progress) for progress in (0, 0.5, 1)] == pytest.approx([4.0, 2.5, 1.0])
    assert annealed(4.0, 1.5) == 1.0


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = [0] * 60 + [1] * 20 + [2] * 5
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(labels, 3).tolist() == pytest.approx(expected.tolist())


def test_a_class_without_photos_weighs_nothing() -> None:
    assert balanced_weights([0, 2], 3).tolist() == [1.0, 0.0, 1.0]


def test_weights_and_smoothing_are_torch_s() -> None:
    logits, labels, weight = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 2, 1]), torch.tensor([2.0, 1.0, 0.5])
    expected = functional.cross_entropy(logits, labels, weight=weight, label_smoothing=0.1, reduction="sum") / 6
    torch.testing.assert_close(ClassificationLoss(weight, 0.1)(logits, labels), expected)


def test_a_batch_in_parts_has_the_loss_of_the_whole_whatever_its_classes_weigh() -> None:
    logits, labels, weight = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 2, 1]), torch.tensor([2.0, 1.0, 0.5])
    loss = ClassificationLoss(weight)
    parts = loss(logits[:2], labels[:2]) * 2 / 6 + loss(logits[2:], labels[2:]) * 4 / 6
    torch.testing.assert_close(parts, loss(logits, labels))


def test_an_adjusted_loss_lets_a_rare_class_win_by_more() -> None:
    """One photo of class 0, three of class 1: with logits that do not tell, -log of the shares, 1/4 and 3/4."""
    loss = loss_for("adjusted", [0, 1, 1, 1], classes=2, label_smoothing=0.0)
    for label, share in ((0, 0.25), (1, 0.75)):
        assert float(loss(torch.zeros(1, 2), torch.tensor([label]))) == pytest.approx(-np.log(share))
    # Where the logits bring the odds of 3 to 1 back, the rare class is as likely as the other.
    assert float(loss(torch.tensor([[np.log(3), 0.0]]), torch.tensor([0]))) == pytest.approx(np.log(2))


def test_an_adjusted_loss_bears_a_class_without_photos() -> None:
    loss = loss_for("adjusted", [0, 0], classes=2, label_smoothing=0.1)
    assert loss(torch.zeros(1, 2), torch.tensor([0])).isfinite()


def test_what_is_not_weighed_or_adjusted_is_plain_cross_entropy() -> None:
    logits, labels = torch.randn(4, 2), torch.tensor([0, 1, 1, 1])
    for balance in ("none", "oversample"):
        loss = loss_for(balance, labels.tolist(), classes=2, label_smoothing=0.0)
        torch.testing.assert_close(loss(logits, labels), functional.cross_entropy(logits, labels))


def test_the_calibrated_loss_does_not_mind_how_sure_of_itself_a_network_is() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (200,), generator=generator)
    logits = functional.one_hot(labels, 3) + torch.randn(200, 3, generator=generator)
    assert calibrated_loss(logits * 10, labels) == pytest.approx(calibrated_loss(logits, labels), rel=0.02)
    assert calibrated_loss(logits, labels) <= float(functional.cross_entropy(logits, labels)) + 1e-6


def test_the_calibrated_loss_weighs_classes_as_torch_does() -> None:
    logits, labels, weight = torch.zeros(3, 2), torch.tensor([0, 1, 1]), torch.tensor([3.0, 1.0])
    assert calibrated_loss(logits, labels, weight) == pytest.approx(math.log(2), abs=1e-5)
