"""The report of a version for a terminal: the same facts as the page, in lines of text."""

from collections.abc import Sequence
from typing import Any
from unicodedata import east_asian_width

from app.training import search_lines, smaller
from app.training.report import Facts

MOST_CLASSES = 40
_MOST_CONFUSED = 5


def report_text(facts: Facts) -> str:
    """The report as plain lines; `facts` are `report_json`'s."""
    part = facts["judged_on"]
    names = [label["label"] for label in facts["labels"]]
    pairs = [(pair["count"], names[pair["truth"]], names[pair["answer"]]) for pair in facts["confusions"]]
    calibration, cost = facts["calibration"], facts["cost"]
    threshold = {**facts["threshold"], "called_unknown": facts["threshold"]["called_unknown"][part]}
    text = [
        f"{facts['mode']} {facts['version']}: {_headline(facts[part], part)}",
        *_classes(facts[part]["classes"]),
        _confusions(pairs),
        f"Calibration error {calibration['error_after']:.1%} (before the temperature of "
        f"{calibration['temperature']:.2f}: {calibration['error_before']:.1%}).",
        _threshold(threshold),
        f"Why it stopped: {facts['stopped_because']['en'].rstrip('.')}.",
        *search_lines.lines(facts.get("search")),
        *smaller.lines(facts.get("smaller")),
        f"{cost['epochs']} epochs, {cost['seconds']:.1f} s, peak memory {cost['peak_memory_mb']:.0f} MB.",
        f"To repeat it: {facts['command']}",
    ]
    return "\n".join(line for line in text if line)


def judgement_text(facts: Facts) -> str:
    """What `evaluate` prints without `--json`; `facts` are `evaluate_commands.judgement`'s."""
    pairs = [(pair["count"], pair["truth"], pair["answer"]) for pair in facts["confusions"]]
    unreadable = facts["unreadable"]
    lines = [
        f"{facts['mode']} {facts['version']}: {_headline(facts, facts['part'])}",
        *_classes(facts["classes"]),
        _confusions(pairs),
        f"Calibration error {facts['expected_calibration_error']:.1%}.",
        _threshold(facts["threshold"]),
        f"{len(unreadable)} could not be read: {', '.join(unreadable)}" if unreadable else "",
    ]
    return "\n".join(line for line in lines if line)


def _headline(judged: dict[str, Any], part: str) -> str:
    interval = f"{judged['accuracy_low']:.1%} to {judged['accuracy_high']:.1%}"
    photos = f"{judged['n']} photos" if part == "all" else f"{judged['n']} {part} photos"
    return f"{judged['accuracy']:.1%} ({interval}) of {photos} right, mean recall {judged['macro_recall']:.1%}."


def _classes(rows: Sequence[dict[str, Any]]) -> list[str]:
    if len(rows) > MOST_CLASSES:
        return [f"{len(rows)} classes: too many for a terminal, see the JSON or the page."]
    width = max(5, *(columns(row["label"]) for row in rows))
    head = f"{'class':{width}}  {'n':>5}  {'precision':>16}  {'recall':>16}  {'F1':>16}"
    return [
        head,
        *(
            f"{pad(row['label'], width)}  {row['count']:>5}  "
            + "  ".join(f"{_estimate(row[key]):>16}" for key in ("precision", "recall", "f1"))
            for row in rows
        ),
    ]


def _confusions(pairs: Sequence[tuple[int, str, str]]) -> str:
    common = [f"{truth} for {answer} ({count})" for count, truth, answer in pairs[:_MOST_CONFUSED]]
    return f"Most often taken: {', '.join(common)}." if common else "No mistake on these photos."


def _threshold(threshold: dict[str, Any]) -> str:
    right = threshold["right_of_named"]
    left = "no name is left" if right is None else f"of the names left, {right:.1%} are right"
    unknown = f"{threshold['called_unknown']:.1%} of these known photos"
    return f"Below {threshold['value']:.2f} it says unknown: {unknown}; {left}."


def pad(text: str, width: int) -> str:
    """`text` filled up to `width` columns; a Chinese character takes two."""
    return text + " " * (width - columns(text))


def columns(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _estimate(figure: dict[str, float] | None) -> str:
    return "–" if figure is None else f"{figure['value']:.0%} ({figure['low']:.0%}–{figure['high']:.0%})"
