"""What a job's command writes to standard error: events, one JSON object a line, and now and then a line of words."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 512 * 1024
"""Bytes that are read of a log at once, from its end where the whole of it is asked for."""
EVENTS = ("part", "step", "epoch", "say")


class Line(NamedTuple):
    """One event: where its line ends, in bytes from the log's beginning, and its JSON, without a line break."""

    end: int
    text: str


def read_lines(log: Path, offset: int) -> tuple[list[Line], int]:
    """The events after `offset`, and where the next call should go on.

    A line without its end is left for later: whoever writes it has not finished.
    """
    try:
        with log.open("rb") as file:
            file.seek(offset)
            content = file.read(LONGEST)
    except FileNotFoundError:  # the command has not begun
        return [], offset
    lines = []
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        offset += len(line)
        event = _event(line.decode(errors="replace"))
        if event is not None:
            lines.append(Line(offset, json.dumps(event, ensure_ascii=False, separators=(",", ":"))))
    return lines, offset


def words_of(log: Path) -> list[str]:
    """What was said for people, in English: the sentences of events, and lines that are none."""
    content = b""
    with suppress(OSError), log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LONGEST))
        content = file.read()
    said = []
    for line in content.decode(errors="replace").splitlines():
        event = _event(line)
        words = line.rstrip() if event is None else str(event["en"]) if event["event"] == "say" else ""
        if words:
            said.append(words)
    return said


def _event(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    with suppress(ValueError):
        event = json.loads(line)
        if event.get("event") in EVENTS:
            return dict(event)
    return None


def failure_in(said: list[str], models_dir: Path) -> str | None:
    """The sentence with which a command failed; None where there is none, only a traceback. Tells no path of ours."""
    last = said[-1] if said else ""
    return last.removeprefix("Error: ").replace(f"{models_dir}/", "") if last.startswith("Error: ") else None
