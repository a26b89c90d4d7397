"""Whether what a search found beats the defaults, on folds that it has not seen; and what is said of it.

The best of many trials is partly the luckiest on the folds that it was chosen by. So it and the defaults are scored
once more on the same photos, parted anew, where both have the same luck.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, variance

import torch
from scipy.stats import t as student
from torch import Tensor

from app.training.evaluation import Estimate
from app.training.folds import Fold, Scorer, folds
from app.training.loop import seed_of
from app.training.options import TUNED, Options
from app.training.paired import Pairs, difference, mcnemar, pairs
from app.training.progress import Progress
from app.training.report import Facts

PARTINGS = 3
"""So often are the photos parted anew; once where the backbone learns, which takes minutes."""


@dataclass(frozen=True, slots=True)
class Against:
    """The best options found and the defaults on the same folds. `gain`: by how much the figure is smaller.

    `pairs` counts photos: right where most partings had it right.
    """

    partings: int
    best: float
    defaults: float
    gain: Estimate
    pairs: Pairs

    @property
    def better(self) -> bool:
        """The figure is smaller beyond chance, and no fewer photos are right."""
        return self.gain.low > 0 and self.pairs.candidate >= self.pairs.active

    def facts(self) -> Facts:
        """As JSON; shares are between 0 and 1."""
        n = self.pairs.n
        return {
            "partings": self.partings,
            "figure": {"best": self.best, "defaults": self.defaults, "gain": asdict(self.gain)},
            "right": {
                "best": (self.pairs.both + self.pairs.candidate) / n,
                "defaults": (self.pairs.both + self.pairs.active) / n,
                "difference": asdict(difference(self.pairs)),
                "p": mcnemar(self.pairs),
            },
        }


def against(best: Options, defaults: Options, scorer: Scorer, progress: Progress) -> Against:
    """Score both on fresh folds."""
    tuned = best.recipe in TUNED or defaults.recipe in TUNED
    partings = 1 if tuned else PARTINGS
    samples = scorer.frozen.dataset.train
    gains, figures, lengths = [], [], []
    right = torch.zeros(2, len(samples))
    parted = [
        folds(samples, share=defaults.validation_share, seed=seed_of(defaults.seed, "fresh folds", number))
        for number in range(partings)
    ]
    progress.start("against the defaults: folds", sum(len(parts) for parts in parted))
    for fold in [one for parts in parted for one in parts]:
        both = [scorer.logits(options, fold) for options in (best, defaults)]
        pair = [scorer.figure(logits, fold) for logits in both]
        gains.append(pair[1] - pair[0])
        figures.append(pair)
        lengths.append(len(fold.judge) / len((*fold.learn, *fold.validation)))
        for row, logits in enumerate(both):
            right[row, list(fold.judge)] += _right(logits, scorer, fold)
        progress.advance()
    progress.finish()
    judged = sorted({one for parts in parted for fold in parts for one in fold.judge})
    most = (right[:, judged] > partings / 2).tolist()
    best_mean, defaults_mean = (mean(column) for column in zip(*figures, strict=True))
    return Against(partings, best_mean, defaults_mean, corrected_t(gains, mean(lengths)), pairs(*most))


def corrected_t(values: Sequence[float], ratio: float) -> Estimate:
    """The mean of differences over folds with its 95 % interval; `ratio`: photos judged by, over those learned from.

    The folds share most of what they learn from, so their differences vary less than they are unsure: Nadeau and Bengio
    (2003) add that ratio to the 1 / n of a t-test.
    """
    n = len(values)
    middle = mean(values)
    spread = math.sqrt((1 / n + ratio) * variance(values))
    reach = float(student.ppf(0.975, n - 1)) * spread
    return Estimate(middle, middle - reach, middle + reach)


def _right(logits: Tensor, scorer: Scorer, fold: Fold) -> Tensor:
    return (logits.argmax(1) == scorer.labels[list(fold.judge)]).float()
