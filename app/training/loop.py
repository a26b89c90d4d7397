"""Epoch after epoch: learn, look at the validation part, keep the best, stop in time; whatever it is that learns.

A stage goes on after `kill -9` from its last whole epoch, and ends as it would have: all randomness of an epoch comes
from the seed, the stage and the epoch's number, and nothing else is carried over but what `Stage.state` says.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from app.training.options import Options
from app.training.outcome import EpochRecord
from app.training.schedule import Schedule
from app.training.stopping import EarlyStopping, KeepBest

INTERRUPTED = "interrupted; the best so far was kept"

OnEpoch = Callable[[EpochRecord, dict[str, Any]], None]
"""Told of every epoch, with a state to go on from."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage does: `train(epoch, schedule)` learns for one epoch and returns the mean loss; `validate()` returns
    loss and accuracy on the validation part, and is None where there is none and the last epoch counts."""

    train: Callable[[int, Schedule], float]
    validate: Callable[[], tuple[float, float]] | None


@dataclass(slots=True)
class Stage:
    """One stage: `module`'s parameters are learned by `optimizer` in at most `epochs`."""

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int
    patience: int
    options: Options
    history: list[EpochRecord] = field(default_factory=list)
    stopped_because: str = ""
    best_epoch: int = 0
    best_figure: float = float("inf")
    """Of the monitored figure; smaller is better: a loss, or an accuracy with its sign turned."""

    def run(self, work: Work, on_epoch: OnEpoch | None = None, state: dict[str, Any] | None = None) -> "Stage":
        """Train; afterwards the module holds its best weights. `state`: what `on_epoch` was given, to go on from there.

        Ctrl-C ends it early, with the best so far.
        """
        options = self.options
        schedule = Schedule(self.optimizer, options.schedule, self.epochs, options.warmup)
        stopping = EarlyStopping(self.patience, options.min_delta, options.monitor)
        best: KeepBest[dict[str, Any]] = KeepBest(options.monitor)
        parts = (self.module, self.optimizer, schedule, stopping, best)
        try:
            if state is not None:
                self._restore(state, parts)
            elif work.validate:  # the start itself may turn out to be the best
                best.see(self._figure(*work.validate()), 0, self.module.state_dict())
            while not self.stopped_because:
                self._epoch(len(self.history) + 1, work, parts)
                if on_epoch:
                    on_epoch(self.history[-1], self._state(parts))
        except KeyboardInterrupt:
            self.stopped_because = INTERRUPTED
        if best.state is not None:
            self.module.load_state_dict(best.state)
            self.best_epoch = best.epoch or 0
            self.best_figure = best.figure if options.monitor == "val_loss" else -best.figure
        else:
            self.best_epoch = len(self.history)
        return self

    def _epoch(self, epoch: int, work: Work, parts: tuple[Any, ...]) -> None:
        _, optimizer, schedule, stopping, best = parts
        began = time.perf_counter()
        torch.manual_seed(seed_of(self.options.seed, self.name, epoch))
        loss = work.train(epoch, schedule)
        rate = optimizer.param_groups[0]["lr"]
        validation_loss, accuracy = work.validate() if work.validate else (float("nan"), float("nan"))
        seconds = time.perf_counter() - began
        self.history.append(EpochRecord(self.name, epoch, loss, validation_loss, accuracy, rate, seconds))
        if work.validate:
            figure = self._figure(validation_loss, accuracy)
            schedule.epoch_ended(accuracy)
            best.see(figure, epoch, self.module.state_dict())
            if stopping.stops(figure, epoch) and self.options.early_stopping:
                self.stopped_because = f"{stopping.reason()}; the best was epoch {best.epoch}"
        if epoch >= self.epochs and not self.stopped_because:
            self.stopped_because = f"all {epoch} epochs done"
            if best.epoch is not None:
                self.stopped_because += f"; the best was epoch {best.epoch}"

    def _figure(self, loss: float, accuracy: float) -> float:
        return loss if self.options.monitor == "val_loss" else accuracy

    def _state(self, parts: tuple[Any, ...]) -> dict[str, Any]:
        return {
            "history": [asdict(record) for record in self.history],
            "stopped_because": self.stopped_because,
            "parts": [part.state_dict() for part in parts],
        }

    def _restore(self, state: dict[str, Any], parts: tuple[Any, ...]) -> None:
        for part, kept in zip(parts, state["parts"], strict=True):
            part.load_state_dict(kept)
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.stopped_because = state["stopped_because"]


def seed_of(*parts: object) -> int:
    """A seed for random numbers, the same for the same parts on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6])
