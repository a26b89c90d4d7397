"""Stratified folds of the training photos, and what options are worth on them: cross-validation.

Nothing here ever sees a validation or test part. Within a fold, what the recipe chooses by itself (when to stop, in
which manner) it chooses on photos held back from those that it learns from, never on those that it is judged by.
"""

import copy
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from app.photos.dataset import Sample, content_hash, split
from app.training.device import Device
from app.training.features import Views
from app.training.frozen import Frozen
from app.training.head import Examples, fit_best
from app.training.loop import seed_of
from app.training.loss import balanced_weights, calibrated_loss
from app.training.options import CLASSIC, TUNED, Options
from app.training.outcome import EpochRecord
from app.training.progress import SILENT, Silent
from app.training.state import Workspace

FOLDS = 5

OnEpoch = Callable[[EpochRecord], None]
"""Told of each epoch of a network's own layers; it may raise, to end a trial there."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Photos by their place in the training part: to learn from, to choose by meanwhile, and to be judged by."""

    learn: tuple[int, ...]
    validation: tuple[int, ...]
    judge: tuple[int, ...]


def folds(samples: Sequence[Sample], *, share: float, seed: int, most: int = FOLDS) -> tuple[Fold, ...]:
    """The folds; fewer than `most` where a class has fewer photos. A class's only photo is always learned from.

    They depend on the photos' content and the seed alone, so that another machine makes the same. `share` of what a
    fold learns from is held back to choose by.
    """
    order = sorted(range(len(samples)), key=lambda one: (samples[one].label, content_hash(samples[one].path)))
    counts = Counter(sample.label for sample in samples)
    shared = [one for one in order if counts[samples[one].label] > 1]
    alone = [one for one in order if counts[samples[one].label] == 1]
    count = max(2, min(most, *(counts[samples[one].label] for one in shared)))
    parts = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32).split(
        np.zeros(len(shared)), [samples[one].label for one in shared]
    )
    return tuple(
        _fold(samples, [*(shared[one] for one in learn), *alone], [shared[one] for one in judge], share, seed)
        for learn, judge in parts
    )


def _fold(samples: Sequence[Sample], learn: list[int], judge: list[int], share: float, seed: int) -> Fold:
    place = {samples[one].path: one for one in learn}
    kept, held = split([samples[one] for one in learn], share=share, seed=seed)
    return Fold(tuple(place[one.path] for one in kept), tuple(place[one.path] for one in held), tuple(judge))


@dataclass(slots=True)
class Scorer:
    """Trains options on what a fold learns from, and answers for what it is judged by.

    The features of each augmentation are read once, with the most views that are asked for, and shared by all trials;
    fewer views are the first of these. `monitor` of the options says what counts.
    """

    frozen: Frozen
    device: Device
    views: int
    _features: dict[str, Tensor] = field(default_factory=dict)
    _class_weights: Tensor | None = None
    labels: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.labels = torch.tensor([sample.label for sample in self.frozen.dataset.train])
        if self.frozen.options.balance != "none":
            self._class_weights = balanced_weights(self.labels.tolist(), len(self.frozen.dataset.classes))

    def logits(self, options: Options, fold: Fold, on_epoch: OnEpoch | None = None) -> Tensor:
        """What a network taught with `options` says of the photos that the fold is judged by, `[judge, classes]`."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed_of(options.seed, "fold", fold.judge))
            if options.recipe in TUNED:
                return self._tuned(options, fold, on_epoch)
            return self._frozen(options, fold)

    def figure(self, logits: Tensor, fold: Fold) -> float:
        """What the monitored figure makes of them; smaller is better."""
        labels = self.labels[list(fold.judge)]
        if self.frozen.options.monitor == "val_acc":
            return -float((logits.argmax(1) == labels).double().mean())
        return calibrated_loss(logits, labels, self._class_weights)

    def _frozen(self, options: Options, fold: Fold) -> Tensor:
        features = self._read(options.augmentation)
        if options.augmentation != "none":
            features = features[: 1 + (options.views or self.views)]
        classes = len(self.frozen.dataset.classes)
        judged = features[0, list(fold.judge)]
        if options.recipe in CLASSIC:
            from app.training.classic import fit_classic

            everything = self._examples(features, (*fold.learn, *fold.validation))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn on features that few photos do not vary in
                return fit_classic(everything, classes, options).head.logits(judged)
        validation = self._examples(features, fold.validation)
        return fit_best(self._examples(features, fold.learn), validation, classes, options).logits(judged)

    def _examples(self, features: Tensor, places: Sequence[int]) -> Examples:
        return Examples(features[:, list(places)], self.labels[list(places)])

    def _read(self, augmentation: str) -> Tensor:
        """Float32 `[1 + views, n, D]` of all training photos."""
        if augmentation not in self._features:
            frozen = self.frozen
            named = frozen.options.model_copy(update={"augmentation": augmentation, "views": self.views})
            views: Views = replace(frozen, options=named).views()
            reader = replace(frozen.reader, tag=f"{augmentation}-{views.count}-")
            self._features[augmentation] = reader.read("train", frozen.dataset.train, views)
        return self._features[augmentation]

    def _tuned(self, options: Options, fold: Fold, on_epoch: OnEpoch | None) -> Tensor:
        from app.training.tuning import tune

        with tempfile.TemporaryDirectory(prefix="wanwu-fold-") as scratch:
            workspace = Workspace(Path(scratch), "fold")
            try:
                frozen = self._part(options, fold)
                trained = tune(frozen, self.device, workspace, _Epochs(on_epoch))
                return trained.logits("judged", frozen.dataset.test)
            finally:
                workspace.close()

    def _part(self, options: Options, fold: Fold) -> Frozen:
        """The fold as photos of their own, and a copy of the backbone, which will be changed."""
        whole, base = self.frozen.dataset, self.frozen.base
        train, validation, judge = (
            tuple(whole.train[one] for one in places) for places in (fold.learn, fold.validation, fold.judge)
        )
        return replace(
            self.frozen,
            options=options.model_copy(update={"prune": None, "qat": False}),
            dataset=replace(whole, train=train, validation=validation, test=judge),
            base=replace(base, network=replace(base.network, backbone=copy.deepcopy(base.network.backbone))),
            reader=replace(self.frozen.reader, workspace=None, progress=SILENT),
        )


class _Epochs(Silent):
    """Hands on what each epoch of the network's own layers brought; the head before them takes a second."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        self._on_epoch = on_epoch

    def advance(self, count: int = 1, record: EpochRecord | None = None) -> None:
        if record is not None and record.stage != "head" and self._on_epoch is not None:
            self._on_epoch(record)
