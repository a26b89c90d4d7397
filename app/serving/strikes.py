"""A version on trial that errs again and again ends its own trial."""

import logging
import threading
from pathlib import Path

from app.errors import Conflict, ModelError, NotSaved
from app.registry.state import Trial, set_trial

LOG = logging.getLogger(__name__)
LIMIT = 5
"""So many errors in one worker are no accident."""


class Strikes:
    """Counts the errors of each trial in this process. Safe to call from many threads, and quick."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._numbers: dict[tuple[str, Trial], int] = {}
        self._lock = threading.Lock()

    def add(self, mode: str, trial: Trial, error: Exception) -> None:
        """Count one; at the fifth end the trial, aside, and again at every fifth after it where that failed."""
        with self._lock:
            number = self._numbers.get((mode, trial), 0) + 1
            self._numbers[mode, trial] = number
        LOG.warning("%s %s, on trial, erred: %s: %s", mode, trial.version, type(error).__name__, error)
        if number % LIMIT == 0:
            why = f"it erred {number} times, at last with {type(error).__name__}: {error}"
            threading.Thread(target=self._end, args=(mode, trial, why), name="trial-end").start()

    def _end(self, mode: str, trial: Trial, why: str) -> None:
        """End that trial and no other: another worker, or a person, may have been quicker."""
        try:
            set_trial(self._models_dir / mode, None, by="the server", why=why, instead_of=trial)
        except (ModelError, Conflict):
            return
        except (OSError, NotSaved):
            LOG.exception("the trial of %s %s cannot be ended", mode, trial.version)
            return
        LOG.warning("the trial of %s %s is ended: %s", mode, trial.version, why)
