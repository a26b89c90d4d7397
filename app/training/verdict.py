"""Better, or not at all: what two versions' answers on the same pictures say about replacing one with the other.

Every function here is pure. The limits guard what accuracy does not show; a candidate that breaks one is not promoted,
however many pictures it has right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Literal

import torch
from torch import Tensor

from app.training.evaluation import Estimate, calibration_error, reliability, wilson
from app.training.paired import SIGNIFICANT, Pairs, difference, mcnemar, more_pictures, pairs

Decision = Literal["promote", "keep", "not_enough_evidence"]
Standing = Literal["holds", "broken", "unknown"]

MOST_CALIBRATION = 0.02
MOST_SLOWER = 1.2
MOST_RECALL_LOST = 0.10
ENOUGH_OF_A_CLASS = 20
"""Of fewer pictures, one or two that change sides by chance are a tenth: there only a significant loss counts, which
takes six pictures lost and none won. No correction for many classes: it would let a small harm pass, not stop it."""
MOST_LOST_ELSEWHERE = 0.02
ENOUGH_ELSEWHERE = 20


@dataclass(frozen=True, slots=True)
class Answered:
    """What a version made of the pictures, in order: whether it was `right`, `confidences` [n] of its best guesses.

    `classes`: those that it knows, by any of their names, casefolded. `milliseconds`: one picture through the network.
    """

    version: str
    right: tuple[bool, ...]
    confidences: Tensor
    classes: frozenset[str]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: whether it holds, and the figures in a clause that can follow "but"."""

    name: Literal["calibration", "latency", "recall", "elsewhere"]
    standing: Standing
    clause: str


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: how many pictures of its `count` each version had right; None where a version does not know it."""

    label: str
    count: int
    candidate: int | None
    active: int | None
    p: float


@dataclass(frozen=True, slots=True)
class Side:
    """One version's figures."""

    version: str
    right: int
    accuracy: Estimate
    calibration_error: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and what it rests on. `more`: how many more pictures would settle it, where that can be told.

    The figures are None where there was no picture.
    """

    decision: Decision
    reason: str
    n: int
    more: int | None = None
    candidate: Side | None = None
    active: Side | None = None
    pairs: Pairs | None = None
    difference: Estimate | None = None
    p: float | None = None
    limits: tuple[Limit, ...] = ()
    classes: tuple[ClassRow, ...] = ()


def verdict(labels: Sequence[str], corrected: Sequence[bool], candidate: Answered, active: Answered) -> Verdict:
    """Judge the two on pictures that show `labels`; `corrected` are those that somebody corrected a version on."""
    if not labels:
        return no_pictures(candidate.version, active.version)
    sides = (_side(candidate), _side(active))
    counted = pairs(candidate.right, active.right)
    p = mcnemar(counted)
    rows = tuple(_rows(labels, candidate, active))
    elsewhere = list(map(not_, corrected))
    beside = pairs(list(compress(candidate.right, elsewhere)), list(compress(active.right, elsewhere)))
    limits = (_calibration(*sides), _latency(*sides), _recall(rows), _elsewhere(beside, counted.n))
    decision, reason, more = _decide(sides[0], sides[1], counted, p, limits, beside.n)
    return Verdict(decision, reason, counted.n, more, *sides, counted, difference(counted), p, limits, rows)


def no_pictures(candidate: str, active: str) -> Verdict:
    """What there is to say where nothing can be compared on."""
    reason = (
        f"There is no picture to compare {candidate} with {active} on that neither has learned from: "
        "give labelled photos that are new to both (--data)."
    )
    return Verdict("not_enough_evidence", reason, 0)


def _decide(
    candidate: Side, active: Side, counted: Pairs, p: float, limits: Sequence[Limit], elsewhere: int
) -> tuple[Decision, str, int | None]:
    score = f"{candidate.right} of {counted.n} pictures right against {active.right}"
    names = f"{candidate.version} is {{}} {active.version}"
    if candidate.right <= active.right:
        return "keep", f"{names.format('no better than')}: {score}.", None
    broken = [limit.clause for limit in limits if limit.standing == "broken"]
    if broken:
        return "keep", f"{candidate.version} has {score}, but {'; '.join(broken)}.", None
    unknown = [limit.clause for limit in limits if limit.standing == "unknown"]
    if unknown:
        return (
            "not_enough_evidence",
            f"{candidate.version} has {score}, but {unknown[0]}.",
            ENOUGH_ELSEWHERE - elsewhere,
        )
    if p < SIGNIFICANT:
        return "promote", f"{names.format('better than')}: {score} (p = {p:.2g}), and every limit holds.", None
    more = more_pictures(counted)
    settled = "no number of pictures worth taking" if more is None else f"about {more} more pictures"
    reason = (
        f"{names.format('perhaps better than')}: {score}, which may be chance (p = {p:.2g}); {settled} would settle it"
    )
    return "not_enough_evidence", f"{reason}.", more


def _side(answered: Answered) -> Side:
    right = sum(answered.right)
    error = calibration_error(reliability(answered.confidences, torch.tensor(answered.right)))
    return Side(answered.version, right, wilson(right, len(answered.right)), error, answered.milliseconds)


def _rows(labels: Sequence[str], candidate: Answered, active: Answered) -> Iterator[ClassRow]:
    for label in sorted(set(labels)):
        here = [one == label for one in labels]
        first, second = list(compress(candidate.right, here)), list(compress(active.right, here))
        yield ClassRow(
            label=label,
            count=len(first),
            candidate=sum(first) if label.casefold() in candidate.classes else None,
            active=sum(second) if label.casefold() in active.classes else None,
            p=mcnemar(pairs(first, second)),
        )


def _calibration(candidate: Side, active: Side) -> Limit:
    first, second = candidate.calibration_error, active.calibration_error
    clause = (
        f"its calibration error is {first:.1%} against {second:.1%} (at most {100 * MOST_CALIBRATION:g} points more)"
    )
    return Limit("calibration", _standing(first - second <= MOST_CALIBRATION), clause)


def _latency(candidate: Side, active: Side) -> Limit:
    first, second = candidate.milliseconds, active.milliseconds
    clause = f"a picture takes it {first:.1f} ms against {second:.1f} ms (at most {MOST_SLOWER:g} times as long)"
    return Limit("latency", _standing(first <= MOST_SLOWER * second), clause)


def _recall(rows: Sequence[ClassRow]) -> Limit:
    """No class loses significantly, and none with enough pictures more than the limit."""
    hurt = [
        f"{row.label} ({row.candidate or 0} of {row.count} against {row.active or 0})" for row in rows if _hurt(row)
    ]
    clause = f"it has lost in {', '.join(hurt)}" if hurt else "no class loses"
    return Limit("recall", _standing(not hurt), clause)


def _hurt(row: ClassRow) -> bool:
    lost = (row.active or 0) - (row.candidate or 0)
    far = row.count >= ENOUGH_OF_A_CLASS and lost > MOST_RECALL_LOST * row.count
    return far or (lost > 0 and row.p < SIGNIFICANT)


def _elsewhere(beside: Pairs, n: int) -> Limit:
    """Where some pictures were corrected, the others must not lose.

    A picture is corrected because a version had it wrong: on those alone almost any other would look better.
    """
    if beside.n == n:
        return Limit("elsewhere", "holds", "none of the pictures is a correction")
    if beside.n < ENOUGH_ELSEWHERE:
        clause = (
            f"{n - beside.n} of these are corrections, on which the other version was known to err; "
            f"{ENOUGH_ELSEWHERE - beside.n} more held-out pictures that are none are needed (--data, or a test part)"
        )
        return Limit("elsewhere", "unknown", clause)
    lost = beside.active - beside.candidate
    clause = f"apart from corrections it has {lost} of {beside.n} pictures fewer right"
    if lost <= 0:
        clause = f"apart from corrections it loses none of {beside.n} pictures"
    return Limit("elsewhere", _standing(lost <= MOST_LOST_ELSEWHERE * beside.n), clause)


def _standing(holds: bool) -> Standing:
    return "holds" if holds else "broken"
