"""What is seen while it runs."""

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import click

if TYPE_CHECKING:  # commands that import this for their options must not wait for torch
    from app.training.outcome import EpochRecord

STEP_S = 0.2
"""Between two steps that are told of, at least."""

events_option = click.option("--events", is_flag=True, hidden=True, help="Progress as JSON lines, for a job.")
"""For a command that may run as a job; what it gets is for `progress_for`."""


class Progress(Protocol):
    """Told of every step; it decides what to show."""

    def start(self, label: str, length: int) -> None:
        """A part of the work begins: `length` photos, or epochs."""

    def advance(self, count: int = 1, record: "EpochRecord | None" = None) -> None:
        """`count` more are done; `record` is what the last epoch brought."""

    def finish(self) -> None:
        """The part is over, perhaps early."""

    def say(self, en: str, zh: str) -> None:
        """Something the operator should know, in both languages."""


class Silent:
    """Shows nothing."""

    def start(self, label: str, length: int) -> None:
        """Nothing."""

    def advance(self, count: int = 1, record: "EpochRecord | None" = None) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""

    def say(self, en: str, zh: str) -> None:
        """Nothing."""


SILENT = Silent()


class Terminal:
    """A bar with the time left and what the last epoch brought; sentences on lines of their own. To standard error."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stderr
        self._bar: Any = None

    def start(self, label: str, length: int) -> None:
        """Draw an empty bar."""
        self.finish()
        self._bar = click.progressbar(
            length=length, label=label, file=self._file, item_show_func=_described, show_pos=True, width=24
        )
        self._bar.__enter__()

    def advance(self, count: int = 1, record: "EpochRecord | None" = None) -> None:
        """Fill the bar further."""
        if self._bar:
            self._bar.update(count, record)

    def finish(self) -> None:
        """End the bar's line."""
        if self._bar:
            self._bar.__exit__(None, None, None)
            self._bar = None

    def say(self, en: str, zh: str) -> None:
        """Print the English sentence, below the bar if one is drawn."""
        self.finish()
        click.echo(en, file=self._file)


class Events:
    """One JSON object a line, to standard error: what `registry.job_log` reads and the browser draws."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stderr
        self._done = self._told = 0
        self._told_s = -math.inf

    def start(self, label: str, length: int) -> None:
        """Tell of a new part, after the last step of the one before."""
        self.finish()
        self._done = self._told = 0
        self._tell("part", name=label, length=length)

    def advance(self, count: int = 1, record: "EpochRecord | None" = None) -> None:
        """Tell of the epoch, and of the step unless the last one was told just now."""
        self._done += count
        if record is not None:
            self._tell("epoch", **_figures(record))
        if time.monotonic() - self._told_s >= STEP_S:
            self._step()

    def finish(self) -> None:
        """Tell of the last step, if it was not."""
        if self._told < self._done:
            self._step()

    def say(self, en: str, zh: str) -> None:
        """Tell of the sentence."""
        self._tell("say", en=en, zh=zh)

    def _step(self) -> None:
        self._told, self._told_s = self._done, time.monotonic()
        self._tell("step", done=self._done)

    def _tell(self, event: str, **values: object) -> None:
        """One whole line at once, so that a reader never sees lines mixed."""
        self._file.write(json.dumps({"event": event, **values}, ensure_ascii=False) + "\n")
        self._file.flush()


def progress_for(events: bool) -> Progress:
    """What `events_option` asks for: events, or a bar for the terminal."""
    return Events() if events else Terminal()


def _figures(record: "EpochRecord") -> dict[str, Any]:
    """What is drawn of an epoch; what is not a number becomes null, which JSON has."""
    figures: dict[str, Any] = {"stage": record.stage, "epoch": record.epoch}
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        value = getattr(record, name)
        figures[name] = value if math.isfinite(value) else None
    return figures


def _described(record: "EpochRecord | None") -> str | None:
    if record is None:
        return None
    return (
        f"loss {record.train_loss:.3f}, val {record.validation_loss:.3f}, {record.validation_accuracy:.1%} right, "
        f"rate {record.learning_rate:.1e}"
    )
