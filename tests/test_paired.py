"""Two versions on the same pictures: the test, the interval and the forecast against references of their own."""

import math
from fractions import Fraction

import pytest

from app.training.paired import Pairs, difference, mcnemar, more_pictures, pairs


def exact_p(won: int, lost: int) -> float:
    """The two-sided probability of a split at least as uneven, in fractions: every toss counted."""
    n, fewer = won + lost, min(won, lost)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**n)))


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (5, 5), (6, 0), (0, 8), (10, 2), (3, 17), (40, 21)])
def test_mcnemar_is_the_exact_binomial_test_on_the_pictures_that_differ(won: int, lost: int) -> None:
    assert mcnemar(Pairs(100, won, lost, 7)) == pytest.approx(exact_p(won, lost), rel=1e-12)


def test_pictures_on_which_both_agree_do_not_move_the_p() -> None:
    assert mcnemar(Pairs(0, 9, 2, 0)) == mcnemar(Pairs(10_000, 9, 2, 10_000))


def test_pairs_are_counted_picture_by_picture() -> None:
    assert pairs([True, True, False, False, True], [True, False, True, False, False]) == Pairs(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("counted", "low", "high"),
    [
        (Pairs(36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998, table II, method 10
        (Pairs(14, 5, 0, 22), 0.0115, 0.2265),  # Altman et al. 2000, table 6.2
    ],
)
def test_the_interval_is_newcombes_tenth(counted: Pairs, low: float, high: float) -> None:
    found = difference(counted)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_interval_turns_round_with_the_versions_and_never_shrinks_to_nothing() -> None:
    there, back = difference(Pairs(30, 9, 4, 7)), difference(Pairs(30, 4, 9, 7))
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))
    level = difference(Pairs(20, 0, 0, 0))
    assert level.low < -0.05 < 0.05 < level.high


@pytest.mark.parametrize(("both", "won", "lost", "neither"), [(40, 8, 2, 10), (900, 25, 15, 60), (50, 1, 0, 5)])
def test_as_many_more_pictures_as_forecast_settle_it_and_one_less_does_not(
    both: int, won: int, lost: int, neither: int
) -> None:
    counted = Pairs(both, won, lost, neither)
    more = more_pictures(counted)
    assert more is not None and more > 0

    def p(n: int) -> float:
        return exact_p(round(n * won / counted.n), round(n * lost / counted.n))

    assert p(counted.n + more) < 0.05
    assert all(p(n) >= 0.05 for n in range(counted.n, counted.n + more))


def test_nothing_more_is_needed_where_it_is_settled_and_nothing_helps_where_it_is_level() -> None:
    assert more_pictures(Pairs(10, 9, 0, 1)) == 0
    assert more_pictures(Pairs(10, 4, 4, 1)) is None
    assert more_pictures(Pairs(9_000, 501, 499, 0)) is None
