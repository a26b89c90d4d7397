"""The figures of a report, against scikit-learn, scipy and cases worked by hand."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from app.training.evaluation import choose_threshold, evaluate, fit_temperature, wilson

CLASSES = ("ant", "bee", "cup", "dog")


def some_answers(count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are right more often than not, of unevenly common classes."""
    generator = torch.Generator().manual_seed(3)
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    labels = torch.multinomial(shares, count, replacement=True, generator=generator)
    logits = torch.randn(count, len(CLASSES), generator=generator)
    logits[torch.arange(count), labels] += 1.2
    return logits, labels


def test_figures_are_scikit_learn_s() -> None:
    logits, labels = some_answers()
    result = evaluate(logits.softmax(1), labels, CLASSES)
    answers = logits.argmax(1)
    precision, recall, f1, count = precision_recall_fscore_support(labels, answers)
    assert result.accuracy == pytest.approx(accuracy_score(labels, answers))
    assert result.macro_recall == pytest.approx(balanced_accuracy_score(labels, answers))
    assert [one.precision.value for one in result.classes if one.precision] == pytest.approx(precision)
    assert [one.recall.value for one in result.classes if one.recall] == pytest.approx(recall)
    assert [one.f1.value for one in result.classes if one.f1] == pytest.approx(f1)
    assert [one.count for one in result.classes] == count.tolist()
    assert np.array(result.confusion).sum() == result.n == len(labels)


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    probabilities = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    assert evaluate(probabilities, torch.tensor([0, 1, 0]), ("a", "b")).confusion == [[1, 1], [0, 1]]


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 20), (1, 1), (17, 17), (144, 153), (5, 9)])
def test_wilson_s_interval_is_scipy_s(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    share = wilson(successes, trials)
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_a_class_without_a_mistake_is_still_not_certain() -> None:
    perfect = evaluate(torch.eye(2)[[0] * 10 + [1] * 10], torch.tensor([0] * 10 + [1] * 10), ("a", "b")).classes[0]
    for figure in (perfect.precision, perfect.recall, perfect.f1):
        assert figure is not None
        assert figure.value == figure.high == 1
        assert 0.6 < figure.low < 0.9


def test_f1_s_interval_holds_the_true_value_as_often_as_it_says() -> None:
    """Nineteen times in twenty, drawn from a mode whose F1 is known."""
    generator = np.random.default_rng(0)
    table = np.array([[0.4, 0.1], [0.05, 0.45]])  # shares of (truth, answer)
    true_f1 = 2 * 0.4 / (0.5 + 0.45)
    held = 0
    for _ in range(200):
        drawn = generator.choice(4, size=80, p=table.ravel())
        figure = evaluate(torch.eye(2)[torch.tensor(drawn % 2)], torch.tensor(drawn // 2), ("a", "b")).classes[0].f1
        assert figure is not None
        held += figure.low <= true_f1 <= figure.high
    assert 0.90 <= held / 200 <= 0.99


def test_a_class_without_pictures_has_no_recall_and_does_not_lower_the_mean() -> None:
    result = evaluate(torch.eye(3)[[0, 1]], torch.tensor([0, 1]), ("a", "b", "c"))
    assert (result.classes[2].recall, result.classes[2].precision, result.classes[2].f1) == (None, None, None)
    assert result.macro_recall == 1


def test_calibration_error_of_a_case_worked_by_hand() -> None:
    # Four answers at 0.9, three right: a gap of 0.15. Two at 0.6, both right: a gap of 0.4. Mean: (4*0.15 + 2*0.4) / 6.
    sure = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    result = evaluate(sure, torch.tensor([0, 0, 0, 1, 0, 0]), ("a", "b"))
    assert result.expected_calibration_error == pytest.approx(1.4 / 6)
    filled = [one for one in result.reliability if one.count]
    assert [(one.count, one.accuracy) for one in filled] == [(2, 1.0), (4, 0.75)]
    assert sum(one.count for one in result.reliability) == 6


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_temperature_undoes_a_known_exaggeration(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 4, generator=generator) * 2
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    assert fit_temperature(honest * factor, labels) == pytest.approx(factor, rel=0.03)


def test_temperature_is_the_one_another_optimiser_finds() -> None:
    logits, labels = some_answers()
    scores, row = logits.double(), torch.arange(len(labels))

    def loss(temperature: np.ndarray) -> float:
        log_shares = (scores / float(temperature[0])).log_softmax(1)
        missing = 1 / (len(labels) + 2)
        right = log_shares[row, labels]
        wrong = (log_shares.sum(1) - right) / 3
        return -float(((1 - missing) * right + missing * wrong).mean())

    assert fit_temperature(logits, labels) == pytest.approx(minimize(loss, [1.0], method="Nelder-Mead").x[0], rel=1e-3)


def test_temperature_lowers_the_calibration_error_and_changes_no_answer() -> None:
    logits, labels = some_answers()
    before = evaluate((logits * 4).softmax(1), labels, CLASSES)
    after = evaluate((logits * 4 / fit_temperature(logits * 4, labels)).softmax(1), labels, CLASSES)
    assert after.expected_calibration_error < before.expected_calibration_error / 2
    assert after.confusion == before.confusion


def test_a_few_pictures_without_a_mistake_do_not_make_it_certain_of_everything() -> None:
    logits = torch.eye(2)[[0, 1] * 10] * 3
    labels = torch.tensor([0, 1] * 10)
    assert (logits / fit_temperature(logits, labels)).softmax(1).max() < 0.99


@pytest.mark.parametrize(("count", "unknown"), [(10, 0), (20, 1), (100, 5), (153, 7)])
def test_the_threshold_turns_away_as_many_as_it_may_and_no_more(count: int, unknown: int) -> None:
    sure = torch.linspace(0.5, 0.99, count)
    probabilities = torch.stack([sure, 1 - sure], dim=1)
    threshold, share = choose_threshold(probabilities.amax(1))
    assert share == pytest.approx(unknown / count)
    assert int((sure < threshold).sum()) == unknown


def test_a_picture_at_the_threshold_keeps_its_name_in_serving() -> None:
    probabilities = torch.tensor([[0.7300001, 0.2699999]] * 3)
    threshold, share = choose_threshold(probabilities.amax(1))
    assert (threshold, share) == (0.73, 0.0)


def test_the_share_to_be_accepted_is_the_caller_s() -> None:
    sure = torch.linspace(0.5, 0.99, 100)
    assert choose_threshold(torch.maximum(sure, 1 - sure), accepted=0.8)[1] == pytest.approx(0.2)
