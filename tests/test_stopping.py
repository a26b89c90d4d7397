"""When to stop and what to keep, on lists of numbers."""

import math

import pytest
import torch

from app.training.stopping import EarlyStopping, KeepBest


def stopped_at(stopping: EarlyStopping, figures: list[float]) -> int | None:
    return next((epoch for epoch, figure in enumerate(figures, 1) if stopping.stops(figure, epoch)), None)


@pytest.mark.parametrize(
    ("patience", "delta", "figures", "epoch"),
    [
        (2, 0.0, [1.0, 0.9, 0.95, 0.91], 4),
        (2, 0.0, [1.0, 0.9, 0.95, 0.89, 0.95], None),
        (2, 0.0, [1.0, 1.0, 1.0], 3),
        (2, 0.1, [1.0, 0.95, 0.91], 3),
        (2, 0.1, [1.0, 0.95, 0.89, 0.85], None),
        (1, 0.0, [math.nan], 1),
    ],
)
def test_it_stops_after_so_many_losses_without_gain(
    patience: int, delta: float, figures: list[float], epoch: int | None
) -> None:
    assert stopped_at(EarlyStopping(patience, delta), figures) == epoch


def test_small_gains_that_add_up_count_in_the_end() -> None:
    assert stopped_at(EarlyStopping(2, 0.1), [1.0, 0.95, 0.85, 0.8, 0.7, 0.65]) is None


def test_of_an_accuracy_more_is_better() -> None:
    assert stopped_at(EarlyStopping(2, 0.0, "val_acc"), [0.5, 0.6, 0.6, 0.59]) == 4


def test_it_says_why() -> None:
    assert EarlyStopping(3, monitor="val_acc").reason() == "no gain in validation accuracy for 3 epochs"


def test_it_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    first, second = EarlyStopping(2), EarlyStopping(2)
    assert not any(first.stops(figure, epoch) for epoch, figure in enumerate([1.0, 1.1], 1))
    second.load_state_dict(first.state_dict())
    assert second.stops(1.2, 3)


def test_the_best_is_kept_though_training_goes_on() -> None:
    best: KeepBest[dict[str, torch.Tensor]] = KeepBest()
    weights = torch.zeros(2)
    for epoch, loss in enumerate([0.9, 0.5, 0.7], 1):
        weights += 1  # in place, as an optimiser does
        best.see(loss, epoch, {"weight": weights})
    assert best.epoch == 2
    assert best.figure == 0.5
    assert best.state is not None
    assert best.state["weight"].tolist() == [2.0, 2.0]


def test_a_tie_keeps_the_earlier() -> None:
    best: KeepBest[dict[str, int]] = KeepBest("val_acc")
    assert best.see(0.9, 1, {"epoch": 1})
    assert not best.see(0.9, 2, {"epoch": 2})
    assert best.state == {"epoch": 1}


def test_what_is_not_a_number_is_never_the_best() -> None:
    best: KeepBest[dict[str, int]] = KeepBest()
    assert not best.see(math.nan, 1, {"epoch": 1})
    assert best.see(2.0, 2, {"epoch": 2})
    assert not best.see(math.nan, 3, {"epoch": 3})
