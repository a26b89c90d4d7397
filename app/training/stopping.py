"""When to stop, and what to keep: small objects that see one number an epoch, and nothing of the network."""

import copy
import math
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from torch import Tensor

Monitor = Literal["val_loss", "val_acc"]
State = TypeVar("State")


@dataclass
class Best:
    """Follows one figure. `sign` makes larger better: -1 for a loss, 1 for an accuracy."""

    monitor: Monitor = "val_loss"
    min_delta: float = 0.0
    value: float = -math.inf
    epoch: int | None = None

    def improves(self, figure: float, epoch: int) -> bool:
        """Whether `figure` beats the best so far by more than `min_delta`; if so it is the best now.

        What is not a number never does.
        """
        signed = figure if self.monitor == "val_acc" else -figure
        if not signed > self.value + self.min_delta:
            return False
        self.value, self.epoch = signed, epoch
        return True


class EarlyStopping:
    """Says when `patience` epochs in a row brought no gain of more than `min_delta`."""

    def __init__(self, patience: int, min_delta: float = 0.0, monitor: Monitor = "val_loss") -> None:
        self.patience = patience
        self._best = Best(monitor, min_delta)
        self._idle = 0

    def stops(self, figure: float, epoch: int) -> bool:
        """Take the figure of one epoch; True when it is time to stop."""
        self._idle = 0 if self._best.improves(figure, epoch) else self._idle + 1
        return self._idle >= self.patience

    def reason(self) -> str:
        """Why it stopped, as a sentence."""
        figure = {"val_loss": "validation loss", "val_acc": "validation accuracy"}[self._best.monitor]
        return f"no gain in {figure} for {self.patience} epochs"

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"value": self._best.value, "epoch": self._best.epoch, "idle": self._idle}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._best.value, self._best.epoch, self._idle = state["value"], state["epoch"], state["idle"]


class KeepBest(Generic[State]):
    """Keeps a copy of what was best, whenever training ends and for whatever reason."""

    def __init__(self, monitor: Monitor = "val_loss") -> None:
        self._best = Best(monitor)
        self.state: State | None = None

    @property
    def epoch(self) -> int | None:
        """The epoch of the best; None before the first."""
        return self._best.epoch

    @property
    def figure(self) -> float:
        """The best figure itself."""
        return self._best.value if self._best.monitor == "val_acc" else -self._best.value

    def see(self, figure: float, epoch: int, state: State) -> bool:
        """Keep a copy of `state` if `figure` is the best so far; a tie keeps the earlier. Whether it was kept."""
        if not self._best.improves(figure, epoch):
            return False
        self.state = _copy(state)
        return True

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"value": self._best.value, "epoch": self._best.epoch, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._best.value, self._best.epoch, self.state = state["value"], state["epoch"], state["state"]


def _copy(state: State) -> State:
    """Tensors by name without their graphs, or anything else whole."""
    if isinstance(state, dict):
        return {
            key: value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
            for key, value in state.items()
        }  # type: ignore[return-value]
    return copy.deepcopy(state)
