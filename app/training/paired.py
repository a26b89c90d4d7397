"""Two versions on the same pictures: is one better, by how much, and how many more pictures would settle it.

Every function here is pure: numbers in, numbers out. Only pictures on which the two differ tell them apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, binomtest

from app.training.evaluation import Estimate, wilson

SIGNIFICANT = 0.05
MOST_PICTURES = 1_000_000
"""Who would need more pictures than this to see a difference has none that matters."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """How many pictures both had right, the candidate alone, the active version alone, and neither."""

    both: int
    candidate: int
    active: int
    neither: int

    @property
    def n(self) -> int:
        """All of them."""
        return self.both + self.candidate + self.active + self.neither


def pairs(candidate: Sequence[bool], active: Sequence[bool]) -> Pairs:
    """Count whether each was right, picture by picture, in the same order."""
    together = list(zip(candidate, active, strict=True))
    return Pairs(*(together.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))


def mcnemar(counted: Pairs) -> float:
    """The p of McNemar's exact test, two-sided (McNemar 1947; exact: Mosteller 1952).

    Were both as good, each picture on which they differ would be the toss of a coin.
    """
    differ = counted.candidate + counted.active
    return float(binomtest(counted.candidate, differ).pvalue) if differ else 1.0


def difference(counted: Pairs) -> Estimate:
    """The candidate's accuracy less the active version's, with its 95 % interval; there must be a picture.

    Newcombe 1998 (Statistics in Medicine 17, 2635-2650), method 10: Wilson's interval of each, put together with
    regard to how the two go along. Unlike a bootstrap it does not shrink to nothing where they never differ.
    """
    n = counted.n
    first = wilson(counted.both + counted.candidate, n)
    second = wilson(counted.both + counted.active, n)
    along = _correlation(counted)
    value = first.value - second.value

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * along * one * other + other**2))

    low = value - reach(first.value - first.low, second.high - second.value)
    high = value + reach(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high)


def more_pictures(counted: Pairs) -> int | None:
    """How many more pictures would make the test significant, if they go on to differ in the same shares.

    0 where it is so already. None: the two are level, or it would take more than `MOST_PICTURES`.
    """
    n = counted.n
    if counted.candidate == counted.active:
        return None
    start = n
    while start <= MOST_PICTURES:
        sizes = np.arange(start, min(2 * start, MOST_PICTURES) + 1)
        won, lost = (np.rint(sizes * (count / n)) for count in (counted.candidate, counted.active))
        found = np.flatnonzero(2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5) < SIGNIFICANT)
        if len(found):
            return int(sizes[found[0]]) - n
        start = 2 * start + 1
    return None


def _correlation(counted: Pairs) -> float:
    """Newcombe's phi of the two answers, with the correction for continuity where they agree."""
    both, candidate, active, neither = counted.both, counted.candidate, counted.active, counted.neither
    margins = (both + candidate) * (active + neither) * (both + active) * (candidate + neither)
    if not margins:
        return 0.0
    product = float(both * neither - candidate * active)
    if product > 0:
        product = max(product - counted.n / 2, 0.0)
    return product / math.sqrt(margins)
