"""The report of a version for a terminal: the same facts as the page, in lines of text."""

from typing import Any
from unicodedata import east_asian_width

from app.training.report import Facts

_MOST_CLASSES = 40
_MOST_CONFUSED = 5


def report_text(facts: Facts) -> str:
    """The report as plain lines; `facts` are `report_json`'s."""
    judged = facts[facts["judged_on"]]
    threshold, calibration, cost = facts["threshold"], facts["calibration"], facts["cost"]
    unknown = threshold["called_unknown"][facts["judged_on"]]
    lines = [
        f"{facts['mode']} {facts['version']}: {headline(judged)} of the {facts['judged_on']} photos",
        *_classes(judged),
        _confusions(facts),
        f"Calibration error {calibration['error_after']:.1%} (before the temperature of "
        f"{calibration['temperature']:.2f}: {calibration['error_before']:.1%}).",
        f"Below {threshold['value']:.2f} it says unknown: {unknown:.1%} of these known photos; "
        f"of the names left, {_percent(threshold['right_of_named'])} are right.",
        facts["stopped_because"],
        f"{cost['epochs']} epochs, {cost['seconds']:.1f} s, peak memory {cost['peak_memory_mb']:.0f} MB.",
        f"To repeat it: {facts['command']}",
    ]
    return "\n".join(line for line in lines if line)


def headline(judged: dict[str, Any]) -> str:
    """ "95.4% (90.9% to 97.8%) right, mean recall 95.4%, on 153": what is said first."""
    interval = f"{judged['accuracy_low']:.1%} to {judged['accuracy_high']:.1%}"
    return f"{judged['accuracy']:.1%} ({interval}) right, mean recall {judged['macro_recall']:.1%}, on {judged['n']}"


def _classes(judged: dict[str, Any]) -> list[str]:
    rows = judged["classes"]
    if len(rows) > _MOST_CLASSES:
        return [f"The {len(rows)} classes, one by one, are in the report's page."]
    width = max(5, *(_columns(row["label"]) for row in rows))
    head = f"{'class':{width}}  {'n':>5}  {'precision':>16}  {'recall':>16}  {'F1':>16}"
    return [
        head,
        *(
            f"{_pad(row['label'], width)}  {row['count']:>5}  "
            + "  ".join(f"{_estimate(row[key]):>16}" for key in ("precision", "recall", "f1"))
            for row in rows
        ),
    ]


def _confusions(facts: Facts) -> str:
    names = [label["label"] for label in facts["labels"]]
    common = [
        f"{names[pair['truth']]} for {names[pair['answer']]} ({pair['count']})"
        for pair in facts["confusions"][:_MOST_CONFUSED]
    ]
    return f"Most often taken: {', '.join(common)}." if common else "No mistake on these photos."


def _pad(text: str, width: int) -> str:
    """`text` filled up to `width` columns; a Chinese character takes two."""
    return text + " " * (width - _columns(text))


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _estimate(figure: dict[str, float] | None) -> str:
    return "–" if figure is None else f"{figure['value']:.0%} ({figure['low']:.0%}–{figure['high']:.0%})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
