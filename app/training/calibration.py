"""What is fixed once a recipe has learned: the temperature, the score, and the threshold, on photos held out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.photos.dataset import Dataset, Sample
from app.registry.manifest import ScoreName, ScoreReference
from app.serving.score import sureness_of
from app.training.crossfit import FOLDS, Fit, HeldOut, Logits, answered, cross_fitted, folds, left_out
from app.training.evaluation import CrossValidated, calibration_error, choose_threshold, fit_temperature, reliability
from app.training.head import MANNERS, Examples, fit_with
from app.training.options import Options
from app.training.outcome import Predictions
from app.training.references import reference_tensors, standard_of
from app.training.separation import Choice, ScoreFigures, accepted_shares, figures_of
from app.training.threads import one_thread
from app.training.trained import Trained
from app.training.unknown import choose_score

_REPEATS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a manifest keeps of it. `tensors` are the score's; `standard` as in `serving.score`.

    `probability_threshold`: what accepts as many known photos where only probabilities are at hand. `accepted` as in
    the manifest. `spare`: raw scores of given strangers that nothing was chosen on, or None.
    """

    temperature: float
    score: ScoreReference
    tensors: Mapping[str, Tensor]
    threshold: float
    probability_threshold: float
    accepted: list[float]
    choice: Choice
    cross_validated: CrossValidated
    standard: Tensor
    spare: HeldOut | None

    def predictions(self, held: HeldOut, samples: tuple[Sample, ...]) -> Predictions:
        """The answers to photos, and how sure they are."""
        probabilities = torch.softmax(held.logits / self.temperature, dim=1)
        return Predictions(probabilities, held.labels, tuple(one.path for one in samples), self._sureness(held))

    def judge(self, trained: Trained, dataset: Dataset) -> "Judged":
        """Look at the validation part, and once at the test part."""
        labels = labels_of(dataset.validation)
        held = answered(trained.train, trained.validation_features, labels, lambda _: trained.validation, self.standard)
        validation, test = self.predictions(held, dataset.validation), None
        if dataset.test:
            features = trained.features("test", dataset.test)
            held = answered(trained.learned, features, labels_of(dataset.test), trained.head, self.standard)
            test = self.predictions(held, dataset.test)
        return Judged(validation, test, self.on(held))

    def on(self, judged: HeldOut) -> tuple[ScoreFigures, ScoreFigures] | None:
        """The figures of the score kept, and of the plain softmax, on photos and strangers that chose nothing."""
        if self.spare is None:
            return None
        names: tuple[ScoreName, ScoreName] = (self.score.name, "msp")
        kept, plain = (figures_of(name, judged.scores[name], self.spare.scores[name]) for name in names)
        return kept, plain

    def _sureness(self, held: HeldOut) -> Tensor:
        if self.score.name == "msp":
            return torch.softmax(held.logits / self.temperature, dim=1).amax(dim=1)
        return sureness_of(self.score, held.scores[self.score.name])


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The answers to photos held back, `test` None where there are none; `unknown` as in `outcome.Outcome`."""

    validation: Predictions
    test: Predictions | None
    unknown: tuple[ScoreFigures, ScoreFigures] | None


def labels_of(samples: tuple[Sample, ...]) -> Tensor:
    """The labels [n] of photos."""
    return torch.tensor([sample.label for sample in samples])


def calibrate(
    trained: Trained, validation: Tensor, classes: int, options: Options, strangers: tuple[Sample, ...]
) -> Calibration:
    """Choose on what is held out: cross-fitted where the recipe can be fitted again, else the validation part.

    `strangers`: photos that show none of the classes; every other one is left to judge by.
    """
    strange = trained.features("unknown", strangers) if strangers else None
    with one_thread():
        return _calibrated(trained, validation, classes, options, strange)


def _calibrated(
    trained: Trained, validation: Tensor, classes: int, options: Options, strange: Tensor | None
) -> Calibration:
    """The same with features of strangers `[n, D]`, or None."""
    known = _known(trained, validation, classes)
    standard = standard_of(known.scores)
    temperature = fit_temperature(known.logits, known.labels)
    spare = None
    if strange is not None:
        nothing = torch.full((len(strange),), -1)
        chosen_on, spare = (
            answered(trained.learned, strange[start::2], nothing[start::2], trained.head, standard) for start in (0, 1)
        )
        choice = choose_score([(known, chosen_on)], "given", options.score)
    else:
        pairs = list(left_out(trained.learned, classes, trained.fit or _head_again(options)))
        choice = choose_score(pairs, "left_out", options.score)
    probabilities = torch.softmax(known.logits / temperature, dim=1)
    name = choice.reference.name
    sureness = probabilities.amax(dim=1) if name == "msp" else sureness_of(choice.reference, known.scores[name])
    return Calibration(
        temperature=temperature,
        score=choice.reference,
        tensors=reference_tensors(name, trained.learned, standard),
        threshold=choose_threshold(sureness, accepted=options.accepted)[0],
        probability_threshold=choose_threshold(probabilities.amax(dim=1), accepted=options.accepted)[0],
        accepted=accepted_shares(sureness),
        choice=choice,
        cross_validated=cross_validated(known.logits, known.labels),
        standard=standard,
        spare=spare,
    )


def cross_validated(logits: Tensor, labels: Tensor) -> CrossValidated:
    """The calibration error of held-out `logits` [n, classes]: each fold at the temperature fitted on the others.

    A mean over several ways to fold: that of one depends on the draw.
    """
    after = []
    for seed in range(_REPEATS):
        probabilities = torch.softmax(logits, dim=1)
        for fitted, judged in folds(labels, seed):
            temperature = fit_temperature(logits[fitted], labels[fitted])
            probabilities[judged] = torch.softmax(logits[judged] / temperature, dim=1)
        after.append(_error(probabilities, labels))
    return CrossValidated(len(labels), _error(torch.softmax(logits, dim=1), labels), sum(after) / len(after))


def _known(trained: Trained, validation: Tensor, classes: int) -> HeldOut:
    """Known photos, held out: the most that can be had."""
    pairs = sum(len(held) for _, held in folds(trained.learned.labels))
    if trained.fit is not None and pairs >= max(len(validation), FOLDS):
        return cross_fitted(trained.learned, classes, trained.fit)
    return answered(trained.train, trained.validation_features, validation, lambda _: trained.validation)


def _head_again(options: Options) -> Fit:
    """For a network tuned as a whole: a head on its features stands in for the training that would take too long."""

    def fit(examples: Examples, classes: int) -> Logits:
        with torch.random.fork_rng([]):
            torch.manual_seed(options.seed)
            return fit_with(examples, None, classes, Options(), MANNERS[0]).logits

    return fit


def _error(probabilities: Tensor, labels: Tensor) -> float:
    confidences, answers = probabilities.max(dim=1)
    return calibration_error(reliability(confidences, answers == labels))
