"""What a recipe says of photos that it never learned from, although it learns from all there are: cross-fitting.

Each fold of the photos is answered by a head that the same recipe made from the other folds. Of a hundred photos the
few held back for validation are too few to fit a temperature or a threshold on; this way all of them count.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from app.training.head import Examples
from app.training.loss import UNLABELLED
from app.training.references import NAMES, Scores, labelled, raw_scores, standard_of, taken, with_joint

FOLDS = 5
VIEWS = 5
"""Of each photo, for a fold to learn from: the plain one and some of the varied. More change little, and take long."""

Logits = Callable[[Tensor], Tensor]
Fit = Callable[[Examples, int], Logits]
"""Fits a recipe's head to examples of so many classes: a function from features `[n, D]` to logits `[n, classes]`."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Photos answered by who has not learned from them: `logits` [n, classes], `labels` [n], and their raw scores."""

    logits: Tensor
    labels: Tensor
    scores: Scores


def cross_fitted(examples: Examples, classes: int, fit: Fit) -> HeldOut:
    """Every photo of `examples` that can be held out: the only one of a class cannot."""
    few = replace(examples, features=examples.features[:VIEWS], teacher=_first(examples.teacher))
    parts = []
    for learned, held in folds(examples.labels):
        part = taken(few, learned)
        parts.append(answered(part, examples.features[0, held], examples.labels[held], fit(part, classes)))
    scores = with_joint({name: torch.cat([one.scores[name] for one in parts]) for name in NAMES})
    return HeldOut(torch.cat([one.logits for one in parts]), torch.cat([one.labels for one in parts]), scores)


def _first(teacher: Tensor | None) -> Tensor | None:
    return None if teacher is None else teacher[:VIEWS]


def answered(
    learned: Examples, features: Tensor, labels: Tensor, logits_of: Logits, standard: Tensor | None = None
) -> HeldOut:
    """Features `[n, D]` of photos as `logits_of`, which has learned from `learned`, answers and scores them."""
    logits = logits_of(features)
    return HeldOut(logits, labels, raw_scores(learned, features, logits, standard))


def left_out(examples: Examples, classes: int, fit: Fit) -> Iterator[tuple[HeldOut, HeldOut]]:
    """Each class once as a stranger (several at a time where there are many), and known photos to tell it from.

    Yields (known, strangers), both answered by a head that saw neither; only plain views are learned from.
    """
    plain = labelled(replace(examples, features=examples.features[:1], teacher=None))
    groups = [torch.arange(classes)[start::FOLDS] for start in range(min(FOLDS, classes))]
    parts = folds(plain.labels)
    for number, group in enumerate(groups):
        strange = torch.isin(plain.labels, group)
        learned, held = (places[~strange[places]] for places in parts[number % len(parts)])
        if not len(held) or not strange.any():
            continue
        kept = torch.tensor([label for label in range(classes) if label not in group.tolist()])
        part = taken(plain, learned)
        part = replace(part, labels=torch.searchsorted(kept, part.labels))
        # Of one class there is nothing to tell apart: every logit is the same, and no score of them knows anything.
        logits_of = fit(part, len(kept)) if len(kept) > 1 else (lambda features: torch.zeros(len(features), 1))
        known = answered(part, plain.features[0, held], plain.labels[held], logits_of)
        standard = standard_of(known.scores)
        yield known, answered(part, plain.features[0, strange], plain.labels[strange], logits_of, standard)


def folds(labels: Tensor, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Stratified folds of photos with `labels` [n]: places to learn from, and places held out.

    The only photo of a class is always learned from, and so is one without a label; none is held out where no class has
    two.
    """
    counts = Counter(labels.tolist())
    counts[UNLABELLED] = 1
    alone = torch.tensor([place for place, label in enumerate(labels.tolist()) if counts[label] == 1]).long()
    shared = torch.tensor([place for place, label in enumerate(labels.tolist()) if counts[label] > 1]).long()
    if not len(shared):
        return []
    machine = StratifiedKFold(min(FOLDS, max(counts.values())), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of three photos is in three of five folds, and may be
        parts = list(machine.split(shared, labels[shared]))
    return [(torch.cat([shared[learned], alone]), shared[held]) for learned, held in parts]
