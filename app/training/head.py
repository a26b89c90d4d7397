"""The recipe `head`: a linear layer on cached features of several views, trained in about a second."""

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from app.training.loop import Stage, Work
from app.training.loss import (
    UNLABELLED,
    DistillationLoss,
    annealed,
    balanced_weights,
    calibrated_loss,
    drawing_weights,
    loss_for,
)
from app.training.options import Options
from app.training.outcome import EpochRecord
from app.training.progress import SILENT, Progress
from app.training.schedule import Schedule
from app.training.threads import one_thread
from app.training.whitening import inverse_root

EPOCHS, BATCH, PATIENCE = 60, 128, 15
RATE, SGD_RATE = 0.05, 1.0
AVERAGE = 0.98
"""Of each step's weights this much is what they were before (Polyak and Juditsky 1992): a head of so few photos jumps
about from step to step, and the one that happened to please the validation part would be luck."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a head is held back from learning by heart.

    `shrinkage` of the covariance within classes towards a ball: features are whitened by it, so that what varies among
    photos of one thing counts for little (1: not at all; the start from class means is then linear discriminant
    analysis). `weight_decay` is on features brought to length 1.
    """

    shrinkage: float
    weight_decay: float


MANNERS = (Manner(1.0, 1e-4), Manner(0.8, 2e-4))
"""What is tried on the validation part: the first suits few classes, the second many."""
_START_SCALES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """`features` float32 [views, n, D]; `labels` int64 [n], `UNLABELLED` where only a teacher says what a photo shows;
    `teacher`: its logits [views, n, classes], or None."""

    features: Tensor
    labels: Tensor
    teacher: Tensor | None = None

    def __add__(self, other: "Examples") -> "Examples":
        """Both together."""
        teacher = None
        if self.teacher is not None and other.teacher is not None:
            teacher = torch.cat([self.teacher, other.teacher], dim=1)
        features = torch.cat([self.features, other.features], dim=1)
        return Examples(features, torch.cat([self.labels, other.labels]), teacher)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A linear head (`weight` [classes, D], `bias` [classes]) and how it came about."""

    weight: Tensor
    bias: Tensor
    history: tuple[EpochRecord, ...]
    stopped_because: str
    manner: Manner
    best_epoch: int
    """The epoch that did best on the validation part."""
    figure: float
    """The monitored figure at its best; smaller is better."""

    def logits(self, features: Tensor) -> Tensor:
        """Features `[n, D]` to logits `[n, classes]`."""
        return functional.linear(features, self.weight, self.bias)


def class_means(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The head that picks the nearest class mean: weight `[classes, D]`, bias `[classes]`.

    -|x - m|^2 = 2 m.x - |m|^2 - |x|^2, and the last is the same for every class. A class without photos never wins.
    """
    members = functional.one_hot(labels, classes).float()
    counts = members.sum(0)
    means = members.T @ features / counts.clamp(min=1).unsqueeze(1)
    bias = -means.square().sum(1)
    bias[counts == 0] = bias.min() - 1e3
    return 2 * means, bias


def fit_best(
    train: Examples, validation: Examples, classes: int, options: Options, progress: Progress = SILENT
) -> Fitted:
    """A head in the manner that does best on the validation part, over all the views that there are of it."""
    manners: tuple[Manner, ...] = MANNERS
    if options.weight_decay is not None:
        manners = tuple(Manner(shrinkage, options.weight_decay) for shrinkage in {one.shrinkage: 0 for one in MANNERS})
    problem = _Problem(train, classes, options, progress)
    return min((problem.fit(manner, validation) for manner in manners), key=lambda one: one.figure)


def refit(everything: Examples, chosen: Fitted, classes: int, options: Options, progress: Progress = SILENT) -> Fitted:
    """The head `chosen`, once more in the same manner, from the training and the held-back part together.

    It takes the whole schedule: the decay alone already holds this convex problem back, while the epoch at which so few
    photos gained no more is mostly luck.
    """
    again = _Problem(everything, classes, options, progress).fit(chosen.manner, None)
    return replace(again, history=chosen.history, stopped_because=chosen.stopped_because)


def fit_with(train: Examples, validation: Examples | None, classes: int, options: Options, manner: Manner) -> Fitted:
    """One head: until it gains no more on `validation`, or without that for the whole schedule."""
    return _Problem(train, classes, options).fit(manner, validation)


class _Problem:
    """The rows that a head learns from: centred, and brought to a length of about 1, so that learning is quick."""

    def __init__(self, train: Examples, classes: int, options: Options, progress: Progress = SILENT) -> None:
        self.options, self.classes, self.progress = options, classes, progress
        self.scale = float(train.features.norm(dim=2).mean())
        self.rows = _plain_as_often(train.features).flatten(0, 1) / self.scale
        self.centre = self.rows.mean(0)
        self.labels = train.labels.repeat(len(self.rows) // len(train.labels))
        self.teacher = None if train.teacher is None else _plain_as_often(train.teacher).flatten(0, 1)
        labels = train.labels.tolist()
        self.class_weights = None if options.balance == "none" else balanced_weights(labels, classes)
        self.loss = loss_for(options.balance, labels, classes, options.label_smoothing)
        self.distillation = DistillationLoss(self.loss, options.temperature, options.alpha)
        self.known = self.labels != UNLABELLED

    @one_thread()
    def fit(self, manner: Manner, validation: Examples | None) -> Fitted:
        """One head: until it gains no more on `validation`, or without that for the whole schedule."""
        options = self.options
        to_white = self._whitening(manner.shrinkage)
        rows = (self.rows - self.centre) @ to_white
        head = self._start(rows, manner.weight_decay)
        averaged = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
        averaged.update_parameters(head)
        optimizer = _optimizer(head, options, manner.weight_decay)
        optimizer.register_step_post_hook(lambda *_: averaged.update_parameters(head))
        stage = Stage("head", averaged, optimizer, options.epochs or EPOCHS, options.patience or PATIENCE, options)
        validate = None
        if validation is not None:
            seen = (validation.features.flatten(0, 1) / self.scale - self.centre) @ to_white
            validate = partial(self._validate, averaged, seen, validation.labels.repeat(len(validation.features)))
        self.progress.start("head: epochs" if validation else "head again: epochs", stage.epochs)
        stage.run(
            Work(lambda epoch, schedule: self._epoch(head, rows, epoch, schedule, optimizer), validate),
            # Without a validation part there is no curve to go on drawing.
            lambda record, _: self.progress.advance(1, record if validation else None),
        )
        self.progress.finish()
        learned = cast(nn.Linear, averaged.module)
        weight = learned.weight.detach() @ to_white.T
        return Fitted(
            weight=weight / self.scale,
            bias=learned.bias.detach() - weight @ self.centre,
            history=tuple(stage.history),
            stopped_because=stage.stopped_because,
            manner=manner,
            best_epoch=stage.best_epoch,
            figure=stage.best_figure,
        )

    def _start(self, rows: Tensor, weight_decay: float) -> nn.Linear:
        """The nearest-class-mean head, at the scale that is best by what will be made smaller: loss and decay."""
        rows, labels = rows[self.known], self.labels[self.known]
        weight, bias = class_means(rows, labels, self.classes)
        losses = {}
        for scale in _START_SCALES:
            loss = self.loss((rows @ weight.T + bias) * scale, labels)
            losses[scale] = float(loss + weight_decay / 2 * (weight * scale).square().sum())
        scale = min(losses, key=losses.__getitem__)
        head = nn.Linear(rows.shape[1], self.classes)
        with torch.no_grad():
            head.weight.copy_(weight * scale)
            head.bias.copy_(bias * scale)
        return head

    def _whitening(self, shrinkage: float) -> Tensor:
        """The matrix `[D, D]` that makes the shrunk covariance a ball, and leaves rows as long as they are."""
        if shrinkage == 1:
            ball: Tensor = torch.eye(self.rows.shape[1]) / (self.rows - self.centre).norm(dim=1).mean()
            return ball
        matrix = inverse_root(_around_means(self.rows[self.known], self.labels[self.known], self.classes), shrinkage)
        whitened: Tensor = matrix / ((self.rows - self.centre) @ matrix).norm(dim=1).mean()
        return whitened

    def _epoch(
        self, head: nn.Linear, rows: Tensor, epoch: int, schedule: Schedule, optimizer: torch.optim.Optimizer
    ) -> float:
        """One pass over all rows, in a new order; the mean loss."""
        batches = list(self._order().split(self.options.batch_size or BATCH))
        if self.options.anneal_temperature:
            done = epoch / (self.options.epochs or EPOCHS)
            self.distillation.temperature = annealed(self.options.temperature, done)
        total = 0.0
        for index, batch in enumerate(batches):
            schedule.at(epoch - 1 + index / len(batches))
            logits = head(rows[batch])
            if self.teacher is None:
                loss = self.loss(logits, self.labels[batch])
            else:
                loss = self.distillation(logits, self.labels[batch], self.teacher[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        return total / len(rows)

    def _validate(self, head: nn.Module, features: Tensor, labels: Tensor) -> tuple[float, float]:
        """Loss, calibrated and by class weights, and accuracy."""
        with torch.no_grad():
            logits = head(features)
            accuracy = float((logits.argmax(1) == labels).float().mean())
            return calibrated_loss(logits, labels, self.class_weights), accuracy

    def _order(self) -> Tensor:
        if self.options.balance == "oversample" and self.class_weights is not None:
            chances = drawing_weights(self.labels, self.class_weights)
            return torch.multinomial(chances, len(self.rows), replacement=True)
        return torch.randperm(len(self.rows))


def _plain_as_often(views: Tensor) -> Tensor:
    """Views `[1 + varied, n, D]` with the plain one, which is what serving sees, as often as all varied ones."""
    return torch.cat([views[:1].expand(max(len(views) - 1, 1), -1, -1), views[1:]])


def _around_means(rows: Tensor, labels: Tensor, classes: int) -> Tensor:
    """`rows` `[n, D]` less the means of their classes."""
    members = functional.one_hot(labels, classes).float()
    means = members.T @ rows / members.sum(0).clamp(min=1).unsqueeze(1)
    around: Tensor = rows - means[labels]
    return around


def _optimizer(head: nn.Linear, options: Options, weight_decay: float) -> torch.optim.Optimizer:
    """Adam or SGD on the head; the bias is not decayed."""
    rate = options.learning_rate or (RATE if options.optimizer == "adam" else SGD_RATE)
    groups = [{"params": [head.weight], "weight_decay": weight_decay}, {"params": [head.bias], "weight_decay": 0.0}]
    if options.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    return torch.optim.SGD(groups, lr=rate, momentum=options.momentum)
