"""What is seen while it runs."""

import sys
from typing import Any, Protocol, TextIO

import click

from app.training.outcome import EpochRecord


class Progress(Protocol):
    """Told of every step; it decides what to show."""

    def start(self, label: str, length: int) -> None:
        """A part of the work begins: `length` photos, or epochs."""

    def advance(self, count: int = 1, record: EpochRecord | None = None) -> None:
        """`count` more are done; `record` is what the last epoch brought."""

    def finish(self) -> None:
        """The part is over, perhaps early."""

    def say(self, sentence: str) -> None:
        """Something the operator should know."""


class Silent:
    """Shows nothing."""

    def start(self, label: str, length: int) -> None:
        """Nothing."""

    def advance(self, count: int = 1, record: EpochRecord | None = None) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Nothing."""


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

    def advance(self, count: int = 1, record: EpochRecord | None = None) -> None:
        """Fill the bar further."""
        if self._bar:
            self._bar.update(count, record)

    def finish(self) -> None:
        """End the bar's line."""
        if self._bar:
            self._bar.__exit__(None, None, None)
            self._bar = None

    def say(self, sentence: str) -> None:
        """Print the sentence, below the bar if one is drawn."""
        self.finish()
        click.echo(sentence, file=self._file)


def _described(record: EpochRecord | None) -> str | None:
    if record is None:
        return None
    return (
        f"loss {record.train_loss:.3f}, val {record.validation_loss:.3f}, {record.validation_accuracy:.1%} right, "
        f"rate {record.learning_rate:.1e}"
    )
