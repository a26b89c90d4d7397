"""How fast to learn, epoch by epoch, as a factor on the optimiser's own rates."""

import math
from typing import Any, Literal

from torch.optim import Optimizer

Kind = Literal["cosine", "plateau", "step", "constant"]

STEP_EPOCHS, STEP_FACTOR = 5, 0.5
PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.5


class Schedule:
    """Sets every parameter group's rate to its initial rate times `factor`; serves all kinds alike.

    The first `warmup` epochs rise linearly, in every kind. `plateau` follows the validation accuracy.
    """

    def __init__(self, optimizer: Optimizer, kind: Kind, epochs: int, warmup: float = 0.0) -> None:
        self._optimizer = optimizer
        self._kind, self._epochs, self._warmup = kind, epochs, warmup
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._plateau = Plateau()
        self.at(0.0)

    def at(self, epoch: float) -> None:
        """Set the rates for a moment; 2.5 is the middle of the third epoch."""
        factor = self._factor(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def epoch_ended(self, validation_accuracy: float) -> None:
        """Tell it the accuracy once an epoch."""
        self._plateau.see(validation_accuracy)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return vars(self._plateau).copy()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        vars(self._plateau).update(state)

    def _factor(self, epoch: float) -> float:
        if self._warmup and epoch < self._warmup:
            # Never nought: the first step of a one-epoch warm-up already learns something.
            return max(epoch / self._warmup, 0.05)
        if self._kind == "cosine":
            return cosine(epoch, self._epochs, self._warmup)
        if self._kind == "step":
            return float(STEP_FACTOR ** (int(epoch) // STEP_EPOCHS))
        return self._plateau.factor if self._kind == "plateau" else 1.0


def cosine(epoch: float, epochs: int, warmup: float = 0.0) -> float:
    """From 1 at the end of the warm-up to 0 at `epochs` (Loshchilov and Hutter 2017)."""
    if epochs <= warmup:
        return 1.0
    return (1 + math.cos(math.pi * min((epoch - warmup) / (epochs - warmup), 1.0))) / 2


class Plateau:
    """Halves the factor once more than `patience` epochs in a row brought no higher accuracy, as torch's own does."""

    def __init__(self, patience: int = PLATEAU_PATIENCE, factor: float = PLATEAU_FACTOR) -> None:
        self._patience, self._step = patience, factor
        self._best, self._idle = -math.inf, 0
        self.factor = 1.0

    def see(self, accuracy: float) -> None:
        """Take the accuracy of one epoch."""
        if accuracy > self._best:
            self._best, self._idle = accuracy, 0
        else:
            self._idle += 1
        if self._idle > self._patience:
            self.factor *= self._step
            self._idle = 0
