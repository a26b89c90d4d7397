"""Better, or not at all: the decision on answers made up for it."""

from collections.abc import Sequence

import pytest
import torch

from app.training.verdict import Answered, Standing, Verdict, no_pictures, verdict

KNOWN = frozenset({"cat", "dog", "owl"})


def answered(
    version: str,
    right: Sequence[bool],
    confidence: float | None = None,
    ms: float = 5.0,
    classes: frozenset[str] = KNOWN,
) -> Answered:
    """A version that is as sure as it is right, unless told to be surer."""
    sure = sum(right) / len(right) if confidence is None else confidence
    return Answered(version, tuple(right), torch.full((len(right),), sure), classes, ms)


def judged(
    candidate: Sequence[bool], active: Sequence[bool], labels: Sequence[str] = (), corrected: int = 0, **more: object
) -> Verdict:
    names = labels or ["cat"] * len(candidate)
    flags = [place < corrected for place in range(len(names))]
    return verdict(names, flags, answered("v2", candidate, **more), answered("v1", active))


def split(both: int, won: int, lost: int, neither: int) -> tuple[list[bool], list[bool]]:
    """The answers of candidate and active version, as often as said."""
    candidate = [True] * (both + won) + [False] * (lost + neither)
    active = [True] * both + [False] * won + [True] * lost + [False] * neither
    return candidate, active


def standing(found: Verdict) -> dict[str, Standing]:
    return {limit.name: limit.standing for limit in found.limits}


def test_a_clear_win_is_promoted() -> None:
    found = judged(*split(70, 15, 2, 13))
    assert found.decision == "promote"
    assert (
        found.reason == "v2 is better than v1: 85 of 100 pictures right against 72 (p = 0.0023), and every limit holds."
    )
    assert set(standing(found).values()) == {"holds"}


def test_a_tie_is_kept() -> None:
    found = judged(*split(70, 5, 5, 20))
    assert (found.decision, found.more) == ("keep", None)
    assert "no better than v1" in found.reason


def test_a_loss_is_kept_however_small() -> None:
    assert judged(*split(70, 5, 6, 19)).decision == "keep"


def test_a_win_that_may_be_chance_says_how_many_pictures_would_settle_it() -> None:
    found = judged(*split(50, 4, 1, 5))
    assert (found.decision, found.more) == ("not_enough_evidence", 83)
    assert "about 83 more pictures would settle it" in found.reason


def test_no_picture_is_no_evidence() -> None:
    found = verdict([], [], answered("v2", [True]), answered("v1", [True]))
    assert found == no_pictures("v2", "v1")
    assert (found.decision, found.n) == ("not_enough_evidence", 0)


def test_a_better_one_that_hurts_a_rare_class_is_kept() -> None:
    candidate, active = split(70, 30, 0, 0)
    labels = ["cat"] * 100 + ["owl"] * 7
    found = judged([*candidate, *[False] * 7], [*active, *[True] * 7], labels)
    assert found.decision == "keep"
    assert "lost in owl (0 of 7 against 7)" in found.reason


def test_two_pictures_of_a_class_that_change_sides_are_no_loss_but_three_of_twenty_are() -> None:
    candidate, active = split(70, 30, 0, 0)
    for count, lost, decision in ((10, 2, "promote"), (20, 2, "promote"), (20, 3, "keep")):
        labels = ["cat"] * 100 + ["owl"] * count
        there = [place >= lost for place in range(count)]
        found = judged([*candidate, *there], [*active, *[True] * count], labels)
        assert found.decision == decision, (count, lost)


def test_a_better_one_that_boasts_is_kept() -> None:
    found = judged(*split(70, 15, 2, 13), confidence=0.99)
    assert (found.decision, standing(found)["calibration"]) == ("keep", "broken")
    assert "calibration error is 14.0% against 0.0%" in found.reason


@pytest.mark.parametrize(("ms", "decision"), [(5.9, "promote"), (6.1, "keep")])
def test_a_better_one_that_is_slower_is_kept(ms: float, decision: str) -> None:
    assert judged(*split(70, 15, 2, 13), ms=ms).decision == decision


def test_a_class_that_one_does_not_know_counts_as_wrong_and_is_told() -> None:
    labels = ["cat"] * 40 + ["new"] * 10
    candidate = answered("v2", [True] * 50, classes=KNOWN | {"new"})
    found = verdict(labels, [False] * 50, candidate, answered("v1", [True] * 40 + [False] * 10))
    assert found.decision == "promote"
    assert [(row.label, row.candidate, row.active) for row in found.classes] == [("cat", 40, 40), ("new", 10, None)]


def test_corrections_alone_are_no_evidence_for_the_active_version_was_known_to_err_on_them() -> None:
    candidate, active = split(0, 12, 0, 0)
    found = judged(candidate, active, corrected=12)
    assert (found.decision, found.more, standing(found)["elsewhere"]) == ("not_enough_evidence", 20, "unknown")
    assert "12 of these are corrections" in found.reason


def test_corrections_count_where_nothing_is_lost_elsewhere() -> None:
    assert judged([True] * 32, [False] * 12 + [True] * 20, corrected=12).decision == "promote"
    worse = judged([True] * 31 + [False], [False] * 12 + [True] * 20, corrected=12)
    assert worse.decision == "keep"
    assert "1 of 20 pictures fewer right" in worse.reason
