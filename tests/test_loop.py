"""Stages of training: the best is kept, it stops in time, and goes on from a state as if nothing had happened."""

import io
from typing import Any

import pytest
import torch
from torch import nn

from app.training.loop import INTERRUPTED, Stage, Work, seed_of
from app.training.options import Options
from app.training.outcome import EpochRecord
from app.training.schedule import Schedule


class Slope:
    """A module of one number that learns to go down, and the losses that validation is to see."""

    def __init__(self, losses: list[float], **options: object) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=1.0, momentum=0.5)
        self.losses = losses
        self.stage = Stage(
            "slope", self.module, self.optimizer, 8, 2, Options(schedule="constant", warmup=0, **options)
        )
        self.seen = 0

    def train(self, epoch: int, schedule: Schedule) -> float:
        self.optimizer.zero_grad()
        loss = self.module.weight.sum() * (1 + torch.rand(()))
        loss.backward()
        self.optimizer.step()
        self.seen = epoch
        return float(loss.detach())

    def validate(self) -> tuple[float, float]:
        loss = self.losses[self.seen]
        return loss, 1 - loss

    @property
    def weight(self) -> float:
        return float(self.module.weight.detach())

    def work(self) -> Work:
        return Work(self.train, self.validate)


def test_the_weights_of_the_best_epoch_are_restored() -> None:
    slope = Slope([0.9, 0.5, 0.3, 0.4, 0.6, 0.2])
    weights = {}
    slope.stage.run(slope.work(), lambda record, state: weights.update({record.epoch: slope.weight}))
    assert slope.stage.best_epoch == 2
    assert slope.weight == weights[2]
    assert slope.stage.stopped_because == "no gain in validation loss for 2 epochs; the best was epoch 2"
    assert len(slope.stage.history) == 4


def test_a_start_that_is_never_beaten_is_kept() -> None:
    slope = Slope([0.1, 0.5, 0.3, 0.4, 0.6])
    slope.stage.run(slope.work())
    assert (slope.stage.best_epoch, slope.weight) == (0, 0.0)


def test_without_early_stopping_all_epochs_are_done_and_the_best_is_kept_all_the_same() -> None:
    slope = Slope([0.9, 0.1, *[0.5] * 7], early_stopping=False)
    slope.stage.run(slope.work())
    assert (len(slope.stage.history), slope.stage.best_epoch) == (8, 1)
    assert slope.stage.stopped_because == "all 8 epochs done; the best was epoch 1"


def test_accuracy_can_be_what_decides() -> None:
    slope = Slope([0.9, 0.1, *[0.5] * 7], monitor="val_acc")
    slope.stage.run(slope.work())
    assert (slope.stage.best_epoch, slope.stage.best_figure) == (1, pytest.approx(-0.9))


def test_without_a_validation_part_the_last_epoch_counts() -> None:
    slope = Slope([])
    slope.stage.run(Work(slope.train, None))
    assert (slope.stage.best_epoch, len(slope.stage.history)) == (8, 8)


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 5])
def test_it_goes_on_from_the_state_of_any_epoch_as_if_nothing_had_happened(epoch: int) -> None:
    losses = [0.9, 0.5, 0.3, 0.4, 0.2, 0.6, 0.7]
    written = {}

    def write(record: EpochRecord, state: dict[str, Any]) -> None:
        file = io.BytesIO()
        torch.save(state, file)
        written[record.epoch] = file.getvalue()

    whole = Slope(losses)
    whole.stage.run(whole.work(), write)
    resumed = Slope(losses)
    resumed.stage.run(resumed.work(), state=torch.load(io.BytesIO(written[epoch]), weights_only=True))
    assert resumed.weight == whole.weight
    figures = [[(one.epoch, one.train_loss) for one in slope.stage.history] for slope in (resumed, whole)]
    assert figures[0] == figures[1]


def test_ctrl_c_ends_it_with_the_best_so_far() -> None:
    slope = Slope([0.9, 0.2, 0.5, 0.4])

    def interrupt(record: EpochRecord, state: dict[str, Any]) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    slope.stage.run(slope.work(), interrupt)
    assert (slope.stage.stopped_because, slope.stage.best_epoch) == (INTERRUPTED, 1)


def test_seeds_are_the_same_for_the_same_parts_on_every_machine() -> None:
    assert seed_of(0, "train", 3) == 258917985360890
    assert seed_of(0, "train", 4) != seed_of(0, "train", 3)
