"""Look for better options than the defaults, within a time, on folds of the training photos.

A trial is one choice of options, scored fold by fold. After each fold but the first the mean so far is held against
what the other trials had by then, and one that is worse than their median is given up (Optuna's MedianPruner); where
the backbone learns, too, so is the best figure that early stopping has seen, after each epoch. The study lies in a
SQLite file of the run, or in any database that Optuna knows, where several processes and machines work on it together;
who gives the same photos, backbone and given options meets in the same study.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import optuna
from optuna.exceptions import OptunaError, TrialPruned
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from app.errors import DataError
from app.training.ctrl_c import noted_ctrl_c
from app.training.folds import Fold, Scorer
from app.training.loop import seed_of
from app.training.options import Options, Search
from app.training.outcome import EpochRecord
from app.training.progress import Progress
from app.training.space import Bounds, changes, starts, suggest
from app.training.study import first_line

STARTUP = 8
"""So many trials are drawn at random before what was found says where to look."""
MOST_REPEATED = 30
"""Who draws the same again so often in a row has tried all that there is."""
EPOCH_STEPS = 1000
"""Steps of a fold: its epochs, and last what it came to."""
_FINISHED, _BOUNDS = "finished", "bounds"


class _OutOfTime(Exception):
    """The minutes are over in the middle of a trial."""


class _Repeated(Exception):
    """These options have been tried before."""


@dataclass(slots=True)
class Hunt:
    """One process at work on a study."""

    search: Search
    base: Options
    scorer: Scorer
    parts: tuple[Fold, ...]
    study: optuna.Study
    bounds: Bounds
    progress: Progress
    spent: Path | None = None
    """Where the seconds spent are kept, so that a killed search goes on with those that are left."""
    _began: float = field(default_factory=time.monotonic)
    _before: float = 0.0
    _told: int = 0
    _best: float = float("inf")
    _repeated: int = 0
    _pressed: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Try options until the time is over, all trials are done, or Ctrl-C; what was found stays in the study."""
        self._before = _read_seconds(self.spent)
        self.progress.start("search: seconds", round(60 * self.search.minutes))
        self._show()
        try:
            with noted_ctrl_c() as self._pressed:
                while self._is_on():
                    self._try_one()
                    self._tell_of_best()
        except KeyboardInterrupt:
            self.progress.say("The search was stopped; what it found is kept.", "搜索已停止，保留已找到的结果。")
        except (OptunaError, SQLAlchemyError) as error:
            if not self.search.join:
                raise DataError(f"The search's study cannot be used any more ({first_line(error)}).") from error
        self.progress.finish()

    def _try_one(self) -> None:
        self.study.sampler = self._sampler()
        try:
            self.study.optimize(self._score, n_trials=1, catch=(_OutOfTime, _Repeated))
        except (UnboundLocalError, AssertionError) as error:
            # What happens while Optuna 5.0 notes a trial's end, its own `finally` replaces by one of these.
            raise error.__context__ or error from None

    def _score(self, trial: Trial) -> float:
        """The mean figure over the folds."""
        options = suggest(trial, self.base, self.bounds)
        if self._is_known(trial):
            self._repeated += 1
            raise _Repeated
        self._repeated = 0
        figures: list[float] = []
        right = 0
        for number, fold in enumerate(self.parts):
            self._tick()
            logits = self.scorer.logits(options, fold, self._epochs(trial, number, figures))
            figures.append(self.scorer.figure(logits, fold))
            right += int((logits.argmax(1) == self.scorer.labels[list(fold.judge)]).sum())
            trial.report(mean(figures), (number + 1) * EPOCH_STEPS)
            if 0 < number < len(self.parts) - 1 and trial.should_prune():  # one fold alone is too much luck
                raise TrialPruned
        trial.set_user_attr("right", right)
        return mean(figures)

    def _epochs(self, trial: Trial, number: int, figures: list[float]) -> Callable[[EpochRecord], None]:
        """Gives up what early stopping, too, would see no good in: its best figure, with the folds before."""
        best = float("inf")
        step = number * EPOCH_STEPS

        def on_epoch(record: EpochRecord) -> None:
            nonlocal best, step
            figure = -record.validation_accuracy if self.base.monitor == "val_acc" else record.validation_loss
            best, step = min(best, figure), step + 1
            self._tick()
            trial.report(mean([*figures, best]), step)
            if trial.should_prune():
                raise TrialPruned

        return on_epoch

    def _is_known(self, trial: Trial) -> bool:
        """Whether the very same options have been tried: no chance is left in it, so nothing would be learned."""
        ended = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return any(one.params == trial.params for one in ended)

    def _sampler(self) -> BaseSampler:
        """Its own for each trial, so that a study that goes on draws what it would have drawn, and two that work on it
        do not draw the same. After a repetition it draws at random: what is best so far leaves nothing to vary."""
        alone = self.search.study is None and not self.search.join
        who = "" if alone else f"{socket.gethostname()}-{os.getpid()}"
        drawn = self.study.get_trials(deepcopy=False)
        seed = seed_of(self.base.seed, "search", len(drawn), who) % 2**32
        if drawn and drawn[-1].state == TrialState.FAIL:
            return RandomSampler(seed=seed)
        return TPESampler(n_startup_trials=STARTUP, multivariate=False, seed=seed)

    def _here(self) -> int:
        """The trials that have ended, whoever made them."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return len(self.study.get_trials(deepcopy=False, states=ended))

    def _is_on(self) -> bool:
        if self._pressed.is_set():
            raise KeyboardInterrupt
        if self._left() <= 0 and (self.search.join or best_of(self.study) is not None):
            return False
        if self._repeated >= MOST_REPEATED:
            return False
        return self.search.trials is None or self._here() < self.search.trials

    def _left(self) -> float:
        if self.search.join and self.study.user_attrs.get(_FINISHED):
            return 0.0
        return 60 * self.search.minutes - self._before - (time.monotonic() - self._began)

    def _tick(self) -> None:
        """Show and keep the time spent.

        Raises:
            _OutOfTime: it is over, and at least the defaults have been scored. KeyboardInterrupt: one was lost.
        """
        self._show()
        if self._pressed.is_set():
            raise KeyboardInterrupt
        if self._left() <= 0 and best_of(self.study) is not None:
            raise _OutOfTime

    def _show(self) -> None:
        seconds = self._before + time.monotonic() - self._began
        if self.spent is not None:
            self.spent.write_text(f"{seconds:.1f}")
        done = min(int(seconds), round(60 * self.search.minutes))
        if done > self._told:
            self.progress.advance(done - self._told)
            self._told = done

    def _tell_of_best(self) -> None:
        trial = best_of(self.study)
        if trial is None or trial.values[0] >= self._best:
            return
        self._best = trial.values[0]
        words = ", ".join(
            f"{name} {value}" for name, value in changes(self.options_of(trial), self.base, self.scorer.views).items()
        )
        right = trial.user_attrs["right"] / sum(len(fold.judge) for fold in self.parts)
        self.progress.say(
            f"Trial {trial.number + 1}: {abs(self._best):.4f}, {right:.1%} right ({words or 'the defaults'}).",
            f"第 {trial.number + 1} 次尝试：{abs(self._best):.4f}，答对 {right:.1%}（{words or '默认选项'}）。",
        )

    def options_of(self, trial: FrozenTrial) -> Options:
        """The options that a trial tried."""
        return suggest(optuna.trial.FixedTrial(trial.params), self.base, self.bounds)  # type: ignore[arg-type]


def best_of(study: optuna.Study) -> FrozenTrial | None:
    """The finished trial with the smallest figure, the earliest of those alike; None: none has finished."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(done, key=lambda one: (one.values[0], one.number), default=None)


def prepared(study: optuna.Study, base: Options, bounds: Bounds) -> Bounds:
    """The bounds that the study has, or these for a new one, which is told what to try first."""
    if _BOUNDS not in study.user_attrs:
        study.set_user_attr(_BOUNDS, bounds.as_json())
        for params in starts(base, bounds):
            study.enqueue_trial(params, skip_if_exists=True)
    return Bounds.from_json(study.user_attrs[_BOUNDS])


def tell_helpers(study: optuna.Study, *, finished: bool) -> None:
    """Tell those who help whether they need go on."""
    study.set_user_attr(_FINISHED, finished)


def is_worth_tuning(seconds_a_photo: float, photos: int, minutes: float, folds: int) -> bool:
    """Whether there is time for ten trials of the recipes that change the backbone, of about twenty epochs."""
    epochs, trials = 20, 10
    return trials * epochs * folds * photos * seconds_a_photo <= 60 * minutes


def _read_seconds(path: Path | None) -> float:
    try:
        return float(path.read_text()) if path else 0.0
    except (OSError, ValueError):
        return 0.0
