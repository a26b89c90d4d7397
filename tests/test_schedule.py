"""How fast to learn, against torch's own schedulers and the numbers that the options promise."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from app.training.schedule import Kind, Schedule


def optimizer(rate: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate}])


def rates(kind: Kind, epochs: int, warmup: float = 0.0, accuracies: list[float] | None = None) -> list[float]:
    ours = optimizer()
    schedule = Schedule(ours, kind, epochs, warmup)
    found = []
    for epoch in range(epochs):
        schedule.at(epoch)
        found.append(ours.param_groups[0]["lr"])
        if accuracies:
            schedule.epoch_ended(accuracies[epoch])
    return found


def torch_rates(scheduler: type, epochs: int, accuracies: list[float] | None = None, **values: object) -> list[float]:
    theirs = optimizer()
    schedule = scheduler(theirs, **values)
    found = []
    for epoch in range(epochs):
        found.append(theirs.param_groups[0]["lr"])
        theirs.step()
        schedule.step(*([accuracies[epoch]] if accuracies else []))
    return found


def test_cosine_is_torch_s() -> None:
    assert rates("cosine", 10) == pytest.approx(torch_rates(CosineAnnealingLR, 10, T_max=10))


def test_step_halves_every_five_epochs_as_torch_s() -> None:
    assert rates("step", 12) == pytest.approx(torch_rates(StepLR, 12, step_size=5, gamma=0.5))


def test_plateau_halves_after_three_epochs_without_gain_as_torch_s() -> None:
    accuracies = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    theirs = torch_rates(ReduceLROnPlateau, 12, accuracies, mode="max", factor=0.5, patience=3, threshold=0.0)
    assert rates("plateau", 12, accuracies=accuracies) == pytest.approx(theirs)
    assert theirs[-1] < 0.1


def test_the_warm_up_is_linear_and_the_cosine_begins_after_it() -> None:
    ours = optimizer()
    schedule = Schedule(ours, "cosine", 10, warmup=2)
    found = []
    for moment in (0.5, 1.0, 1.5, 2.0, 6.0, 10.0):
        schedule.at(moment)
        found.append(ours.param_groups[0]["lr"])
    assert found == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.05, 0.0])


def test_every_layer_keeps_its_own_rate() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    ours = torch.optim.SGD([{"params": [parameters[0]], "lr": 0.4}, {"params": [parameters[1]], "lr": 0.1}])
    schedule = Schedule(ours, "step", 20)
    schedule.at(5)
    assert [group["lr"] for group in ours.param_groups] == pytest.approx([0.2, 0.05])


def test_a_plateau_goes_on_from_its_state() -> None:
    first, second = (Schedule(optimizer(), "plateau", 20) for _ in range(2))
    for accuracy in (0.5, 0.4, 0.4, 0.4):
        first.epoch_ended(accuracy)
    second.load_state_dict(first.state_dict())
    ours = optimizer()
    third = Schedule(ours, "plateau", 20)
    third.load_state_dict(second.state_dict())
    third.epoch_ended(0.4)
    third.at(5)
    assert ours.param_groups[0]["lr"] == pytest.approx(0.05)
