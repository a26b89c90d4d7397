"""Photos without labels: learned from by a teacher's word alone, in every recipe that has one."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from app.errors import DataError
from app.photos.dataset import Dataset
from app.training.head import Examples, Manner, fit_with
from app.training.loss import (
    UNLABELLED,
    ClassificationLoss,
    DistillationLoss,
    balanced_weights,
    drawing_weights,
    loss_for,
)
from app.training.options import Options
from app.training.progress import SILENT
from app.training.unlabelled import read_unlabelled
from app.vision.transform import IMAGENET


def test_an_unlabelled_photo_has_the_soft_part_of_the_loss_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, teacher = (torch.randn(6, 3, generator=generator) for _ in range(2))
    labels = torch.tensor([0, 2, UNLABELLED, 1, UNLABELLED, UNLABELLED])
    loss = DistillationLoss(ClassificationLoss(), temperature=2.0, alpha=0.6)(logits, labels, teacher)
    soft = functional.kl_div(
        (logits / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="batchmean"
    )  # fmt: skip
    known = labels != UNLABELLED
    hard = functional.cross_entropy(logits[known], labels[known], reduction="sum") / 6
    torch.testing.assert_close(loss, 0.6 * 4 * soft + 0.4 * hard)


def test_without_a_single_label_the_loss_is_the_soft_part() -> None:
    logits, teacher = torch.randn(3, 2), torch.randn(3, 2)
    unknown = torch.full((3,), UNLABELLED)
    loss = DistillationLoss(ClassificationLoss(), temperature=1.0, alpha=0.5)(logits, unknown, teacher)
    expected = 0.5 * functional.kl_div(logits.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    torch.testing.assert_close(loss, expected)


def test_unlabelled_photos_count_for_no_class_and_are_drawn_as_often_as_others() -> None:
    labels = [0, 0, 0, 1, UNLABELLED, UNLABELLED]
    torch.testing.assert_close(balanced_weights(labels, 2), balanced_weights(labels[:4], 2))
    adjustment = loss_for("adjusted", labels, 2, 0.0).adjustment
    assert adjustment is not None
    torch.testing.assert_close(adjustment.exp(), torch.tensor([0.75, 0.25]))
    chances = drawing_weights(torch.tensor(labels), balanced_weights(labels, 2))
    torch.testing.assert_close(chances[4:], chances[:4].mean().expand(2))


def test_a_teacher_s_word_on_unlabelled_photos_moves_the_border_to_where_it_belongs() -> None:
    """Two labelled photos leave the border open; the teacher knows that only the first feature counts."""
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(400, 2, generator=generator)
    truth = (seen[:, 0] > 0).long()
    word = functional.one_hot(truth, 2).float() * 6
    labelled = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    taught = Examples(labelled[None], torch.tensor([1, 0]), torch.tensor([[[0.0, 6.0], [6.0, 0.0]]]))
    more = Examples(seen[None], torch.full((400,), UNLABELLED), word[None])
    options = Options(teacher="somebody", temperature=1.0, epochs=60, batch_size=16, early_stopping=False)
    right = {}
    for name, examples in (("alone", taught), ("with the others", taught + more)):
        torch.manual_seed(0)
        head = fit_with(examples, None, 2, options, Manner(1.0, 1e-4))
        right[name] = float((head.logits(seen).argmax(1) == truth).float().mean())
    assert right["alone"] < 0.85
    assert right["with the others"] > 0.95


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"unlabelled": "."}, "--teacher"),
        ({"unlabelled": ".", "teacher": "somebody", "recipe": "svm"}, "--teacher"),
        ({"unlabelled": "nowhere", "teacher": "somebody"}, "no folder"),
        ({"unlabelled": "empty", "teacher": "somebody"}, "no photo"),
    ],
)
def test_unlabelled_photos_that_cannot_be_used_are_refused(
    options: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    dataset = Dataset(("one", "other"), (), (), ())
    with pytest.raises(DataError, match=reason):
        read_unlabelled(Options(**options), dataset, IMAGENET, 1_000_000, SILENT)


def test_without_the_option_there_are_none() -> None:
    assert read_unlabelled(Options(), Dataset((), (), (), ()), IMAGENET, 1, SILENT) == ()
