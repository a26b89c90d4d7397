"""The registry as lines of text, for a terminal."""

from collections.abc import Sequence
from unicodedata import east_asian_width

from app.registry.library import ModeRecord, VersionRecord
from app.registry.state import Event, State

_HEAD = ("mode", "version", "state", "created (UTC)", "accuracy", "classes", "size", "from")
_DONE = {"first": "first", "promote": "promoted", "rollback": "rolled back", "delete": "deleted",
         "trial": "on trial", "trial_ended": "trial ended", "threshold": "threshold set"}  # fmt: skip
_STEP = 1000


def modes_table(modes: Sequence[ModeRecord]) -> str:
    """A line a version, and what is wrong with a mode below it."""
    if not modes:
        return "No mode has been taught or imported yet: imagenet alone answers."
    lines = _aligned([_HEAD, *(row for mode in modes for row in _rows(mode))])
    problems = [f"{mode.key} cannot be served: {mode.problem}." for mode in modes if mode.problem]
    return "\n".join(lines + problems)


def history_lines(state: State) -> str:
    """A line a change, oldest first."""
    return "\n".join(event_line(event) for event in state.history) or "Nothing has been written down of this mode."


def event_line(event: Event) -> str:
    """One change: when, what, instead of what, by whom and why."""
    instead = f" instead of {event.before}" if event.before and event.action in ("promote", "rollback") else ""
    forced = ", forced" if event.forced else ""
    why = f": {event.why}" if event.why else ""
    own = "its own" if event.threshold is None else f"{event.threshold:g}"
    threshold = f" to {own}" if event.action == "threshold" else ""
    done = f"{event.version} {_DONE[event.action]}{threshold}{instead}{forced}"
    return f"{event.at:%Y-%m-%d %H:%M:%S} UTC  {done}, by {event.by}{why}"


def _rows(mode: ModeRecord) -> list[tuple[str, ...]]:
    if mode.file:
        return [(mode.key, "–", f"file {mode.file}", "", "", "", "", "")]
    return [_row(mode.key, version) for version in mode.versions]


def _row(key: str, version: VersionRecord) -> tuple[str, ...]:
    made = version.imported_from or (f"trained after {version.parent}" if version.parent else "")
    return (
        key,
        version.version,
        "active" if version.active else "on trial" if version.on_trial else "" if version.complete else "incomplete",
        f"{version.created:%Y-%m-%d %H:%M}" if version.created else "",
        _accuracy(version),
        str(version.classes or ""),
        _size(version.size),
        made if len(made) <= 40 else f"{made[:39]}…",  # noqa: PLR2004
    )


def _accuracy(version: VersionRecord) -> str:
    """On the test part, else on the validation part."""
    for part in ("test", "validation"):
        measured = version.metrics.get(part)
        if isinstance(measured, dict) and isinstance(measured.get("accuracy"), float):
            return f"{measured['accuracy']:.1%} of {measured.get('n', '?')}"
    return ""


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} GB"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _columns(text: str) -> int:
    """How wide it stands in a terminal: a Chinese character takes two columns."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
