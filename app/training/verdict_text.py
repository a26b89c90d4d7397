"""A comparison for a terminal: the table, what was left out, and the decision."""

from collections.abc import Iterator

from app.training.evaluation import Estimate
from app.training.promotion import Comparison
from app.training.terminal import MOST_CLASSES, columns, pad
from app.training.verdict import ClassRow, Side, Verdict

_DECISIONS = {"promote": "Promote", "keep": "Keep", "not_enough_evidence": "Not enough evidence"}
_SOURCES = {"test": "held-out test photos", "validation": "validation photos, on which their training was steered"}


def comparison_text(comparison: Comparison) -> str:
    """The lines that `models promote` prints."""
    judged = comparison.verdict
    lines = [*_pictures(comparison), *_table(comparison), *_limits(judged)]
    return "\n".join([*lines, f"{_DECISIONS[judged.decision]}: {judged.reason}"])


def side_by_side_text(comparison: Comparison) -> str:
    """The lines that `models compare` prints: the same figures, without the limits, for nothing is decided."""
    return "\n".join([*_pictures(comparison), *_table(comparison), comparison.verdict.reason])


def _pictures(comparison: Comparison) -> Iterator[str]:
    """What they are compared on, and what is missing from it."""
    found = comparison.pictures
    names = f"{comparison.mode}: {comparison.candidate} beside {comparison.active}"
    source = _SOURCES.get(found.source, f"photos of {found.source}")
    yield f"{names}, on {len(found.pictures)} {source}." if found.pictures else f"{names}."
    if corrected := sum(picture.corrected for picture in found.pictures):
        yield f"{corrected} of these are corrections that people sent."
    left_out = (
        (found.learned, "that one of the two has learned from"),
        (found.gone, "that are gone or changed"),
        (comparison.unreadable, "that cannot be read"),
    )
    if missing := [f"{count} {why}" for count, why in left_out if count]:
        yield f"Left out: {', '.join(missing)}."
    if comparison.strange:
        yield f"Left out, because neither knows them: {', '.join(comparison.strange)}."
    for version in found.unsaid:
        yield f"{version} does not say which photos it learned from: what it has seen of these cannot be left out."


def _table(comparison: Comparison) -> Iterator[str]:
    judged = comparison.verdict
    if judged.candidate is None or judged.active is None or judged.difference is None or judged.pairs is None:
        return
    width = max(8, *(columns(side.version) for side in (judged.candidate, judged.active)))
    yield f"{pad('', width)}  {'right':>23}  {'calibration error':>17}  {'ms':>6}"
    for side in (judged.candidate, judged.active):
        yield _side(side, width)
    if comparison.base:
        yield f"{pad('imagenet', width)}  {_share(comparison.base):>23}  (the base, untouched)"
    low, high = (f"{100 * end:+.1f}" for end in (judged.difference.low, judged.difference.high))
    yield f"Difference {100 * judged.difference.value:+.1f} points (95 %: {low} to {high})."
    yield (
        f"Only {judged.candidate.version} has {judged.pairs.candidate} right, only {judged.active.version} "
        f"{judged.pairs.active}: p = {judged.p:.2g} (McNemar's exact test)."
    )
    yield from _classes(judged)


def _side(side: Side, width: int) -> str:
    return (
        f"{pad(side.version, width)}  {_share(side.accuracy):>23}  {side.calibration_error:>17.1%}  "
        f"{side.milliseconds:>6.1f}"
    )


def _classes(judged: Verdict) -> Iterator[str]:
    if judged.candidate is None or judged.active is None:
        return
    rows = judged.classes
    if len(rows) > MOST_CLASSES:
        yield f"{len(rows)} classes; those in which one has more right:"
        rows = tuple(row for row in rows if row.candidate != row.active)[:MOST_CLASSES]
    width = max(5, *(columns(row.label) for row in rows)) if rows else 5
    first, second = judged.candidate.version, judged.active.version
    yield f"{pad('class', width)}  {'n':>5}  {first:>12}  {second:>12}"
    for row in rows:
        ours, theirs = _recall(row, row.candidate), _recall(row, row.active)
        yield f"{pad(row.label, width)}  {row.count:>5}  {ours:>12}  {theirs:>12}"


def _recall(row: ClassRow, right: int | None) -> str:
    return "unknown" if right is None else f"{right / row.count:.0%}"


def _limits(judged: Verdict) -> Iterator[str]:
    words = {"holds": "holds", "broken": "BROKEN", "unknown": "not known"}
    for limit in judged.limits:
        yield f"Limit {words[limit.standing]}: {limit.clause}."


def _share(share: Estimate) -> str:
    return f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})"
