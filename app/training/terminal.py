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
        *ensemble_lines(facts.get("ensemble")),
        f"Calibration error {calibration['error_after']:.1%} (before the temperature of "
        f"{calibration['temperature']:.2f}: {calibration['error_before']:.1%}).",
        _cross_validated(calibration["cross_validated"]) if calibration["cross_validated"] else "",
        _threshold(threshold),
        *(_scores(facts["unknown"]) if facts["unknown"] else []),
        f"Why it stopped: {facts['stopped_because']['en'].rstrip('.')}.",
        *search_lines.lines(facts.get("search")),
        *smaller.lines(facts.get("smaller")),
        f"{cost['epochs']} epochs, {cost['seconds']:.1f} s, peak memory {cost['peak_memory_mb']:.0f} MB.",
        f"To repeat it: {facts['command']}",
    ]
    return "\n".join(line for line in text if line)


def ensemble_lines(facts: Facts | None) -> list[str]:
    """What each member of an ensemble adds and costs; no line for any other version."""
    if facts is None:
        return []
    rows = [("member", "weight", "alone", "without it", "adds", "p", "ms", "adds ms")]
    for one in facts["members"]:
        rows.append((f"{one['name']} ({one['network']})", f"{one['weight']:.2f}", *_added(one, one["without"])))
    together = facts["together"]
    rows.append(("together", "", _share_of(together), "", "", "", f"{together['milliseconds']:.1f}", ""))
    if facts["plain"]:
        seen = {**together, "adds": facts["views_add"], "adds_milliseconds": facts["views_add"]["milliseconds"]}
        rows.append((f"its {facts['views']} views", "", *_added(seen, facts["plain"])))
    widths = [max(columns(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _added(one: Facts, without: Facts | None) -> tuple[str, str, str, str, str, str]:
    """The cells of one row: how good it is, what is left without it, what it adds, and what it costs."""
    gain, more = one["adds"], one.get("adds_milliseconds")
    return (
        _share_of(one.get("alone") or one),
        _share_of(without) if without else "–",
        f"{gain['value'] * 100:+.1f} ({gain['low'] * 100:+.1f} to {gain['high'] * 100:+.1f})" if gain else "–",
        f"{gain['p']:.2g}" if gain else "–",
        f"{one['milliseconds']:.1f}",
        f"{more:+.1f}" if more is not None else "–",
    )


def _share_of(figure: Facts) -> str:
    return f"{figure['accuracy']:.1%} ({figure['low']:.0%}–{figure['high']:.0%})"


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
        *_strangers(facts["unknown"]),
        f"{len(unreadable)} could not be read: {', '.join(unreadable)}" if unreadable else "",
    ]
    return "\n".join(line for line in lines if line)


def _strangers(unknown: dict[str, Any] | None) -> list[str]:
    if unknown is None:
        return []
    return [
        f"Of {unknown['n']} pictures that show none of its classes {unknown['named']:.1%} get a name.",
        judged_score(unknown),
    ]


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


def _cross_validated(found: dict[str, Any]) -> str:
    return (
        f"Cross-validated on {found['n']} photos: {found['error_after']:.1%} (before the temperature "
        f"{found['error_before']:.1%})."
    )


def _scores(unknown: dict[str, Any]) -> list[str]:
    """What the scores were worth, the one kept marked."""
    strangers = {
        "given": f"{unknown['unknown']} unknown pictures",
        "left_out": "each class in its turn as a stranger",
    }[unknown["strangers"]]
    lines = [f"How well known photos ({unknown['known']}) are told from {strangers}:"]
    lines.append(f"  {'score':13}  {'AUROC':>6}  {'let through where 95% of the known are':>38}")
    for one in unknown["scores"]:
        kept = "  <- kept" if one["name"] == unknown["score"] else ""
        lines.append(f"  {one['name']:13}  {one['auroc']:>6.3f}  {one['fpr95']:>38.1%}{kept}")
    if unknown["judged"]:
        lines += [judged_score(unknown["judged"])]
    return lines if unknown["scores"] else []


def judged_score(judged: dict[str, Any]) -> str:
    """A mode's score beside the plain softmax, on pictures that neither was chosen on."""
    score, softmax = judged["score"], judged["softmax"]
    return (
        f"On pictures that chose nothing: AUROC {score['auroc']:.3f}, FPR95 {score['fpr95']:.1%} by {score['name']}; "
        f"{softmax['auroc']:.3f} and {softmax['fpr95']:.1%} by the plain softmax."
    )


def pad(text: str, width: int) -> str:
    """`text` filled up to `width` columns; a Chinese character takes two."""
    return text + " " * (width - columns(text))


def columns(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _estimate(figure: dict[str, float] | None) -> str:
    return "–" if figure is None else f"{figure['value']:.0%} ({figure['low']:.0%}–{figure['high']:.0%})"
