"""The recipes on a frozen backbone: `head`, `prototype`, `knn`, `svm`."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from app.photos.dataset import Dataset, Sample
from app.serving.head import LinearHead
from app.training.augmentation import augmentation
from app.training.base import Base
from app.training.crossfit import Fit, Logits
from app.training.features import FeatureReader, Views, views_for
from app.training.head import Examples, Fitted, fit_best, fit_with, refit
from app.training.options import CLASSIC, Options
from app.training.progress import Progress
from app.training.trained import Trained


@dataclass(frozen=True, slots=True)
class Frozen:
    """The photos, the backbone, and how to read the one through the other.

    `held_back`: the validation part was taken from training here, rather than given. `teacher` reads a teacher's
    logits. `unlabelled`: photos that are learned from by what the teacher says of them.
    """

    dataset: Dataset
    held_back: bool
    base: Base
    reader: FeatureReader
    options: Options
    teacher: FeatureReader | None = None
    unlabelled: tuple[Sample, ...] = ()

    def train(self) -> Trained:
        """Read the features of all views once, and fit the recipe on them."""
        again = self.options.refit and self.held_back
        train = self.examples("train", self.dataset.train, self.views())
        validation = self.examples("validation", self.dataset.validation, self.views() if again else self.plain())
        train, everything = self._with_unlabelled(train, validation if again else None)
        if self.options.recipe in CLASSIC:
            return self._classic(train, validation, everything)
        return self._head(train, validation, everything)

    def fit_head(self, progress: Progress) -> Fitted:
        """The head alone, never shown the validation part: what the tuned recipes start from."""
        train = self.examples("train", self.dataset.train, self.views())
        validation = self.examples("validation", self.dataset.validation, self.plain())
        train, _ = self._with_unlabelled(train, None)
        return fit_best(train, validation, len(self.dataset.classes), self.options, progress)

    def examples(self, name: str, samples: tuple[Sample, ...], views: Views) -> Examples:
        """Features and labels of one part, and the teacher's logits of the very same views."""
        learned_from = views.count or self.options.augmentation == "none"
        features = self.reader.read(name, samples, views)
        teacher = self.teacher.read(name, samples, views) if self.teacher and learned_from else None
        return Examples(features, torch.tensor([sample.label for sample in samples]), teacher)

    def _with_unlabelled(self, train: Examples, validation: Examples | None) -> tuple[Examples, Examples | None]:
        """What is learned from at first, and with the validation part, where that joins in; unlabelled photos too."""
        more = self.examples("unlabelled", self.unlabelled, self.views()) if self.teacher and self.unlabelled else None
        first = train + more if more else train
        return first, first + validation if validation else None

    def plain(self) -> Views:
        """Only what serving sees."""
        return Views(self.base.transform)

    def views(self) -> Views:
        """The plain view and the varied ones."""
        options = self.options
        if options.augmentation == "none":
            return self.plain()
        count = options.views or views_for(len(self.dataset.train) + len(self.unlabelled))
        return Views(self.base.transform, augmentation(options.augmentation, self.base.transform), count)

    def _head(self, train: Examples, validation: Examples, everything: Examples | None) -> Trained:
        classes = len(self.dataset.classes)
        progress = self.reader.progress
        first = fit_best(train, validation, classes, self.options, progress)
        last = refit(everything, first, classes, self.options, progress) if everything else first
        head = LinearHead(last.weight, last.bias)
        return Trained(
            tensors={"weight": last.weight, "bias": last.bias},
            features=self._features,
            head=head.logits,
            train=train,
            validation_features=validation.features[0],
            validation=first.logits(validation.features[0]),
            learned=everything or train,
            fit=self._seeded(lambda part, count: fit_with(part, None, count, self.options, first.manner).logits),
            history=first.history,
            stopped_because=first.stopped_because,
            chosen={**asdict(first.manner), "views": len(train.features), "best_epoch": first.best_epoch},
        )

    def _classic(self, train: Examples, validation: Examples, everything: Examples | None) -> Trained:
        from app.training.classic import fit_classic  # scikit-learn takes seconds to import

        classes = len(self.dataset.classes)
        first = fit_classic(train, classes, self.options)
        last = fit_classic(everything, classes, self.options) if everything else first
        return Trained(
            tensors=last.tensors,
            features=self._features,
            head=last.head.logits,
            train=train,
            validation_features=validation.features[0],
            validation=first.head.logits(validation.features[0]),
            learned=everything or train,
            fit=self._seeded(lambda part, count: fit_classic(part, count, self.options).head.logits),
            kind=last.kind,
            neighbours=last.neighbours,
            chosen={"views": len(train.features)},
        )

    def _features(self, name: str, samples: tuple[Sample, ...]) -> Tensor:
        return self.reader.read(name, samples, self.plain())[0]

    def _seeded(self, fit: Fit) -> Fit:
        """The same, with draws of its own: what is fitted on the way changes nothing of what comes later."""

        def seeded(examples: Examples, classes: int) -> Logits:
            with torch.random.fork_rng([]):
                torch.manual_seed(self.options.seed)
                return fit(examples, classes)

        return seeded
