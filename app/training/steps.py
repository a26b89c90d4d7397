"""One epoch of tuning: pictures, in the order of a seed, through the network and back."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor, nn

from app.photos.dataset import Sample
from app.training.augmentation import augmentation
from app.training.device import Device, fitted
from app.training.features import decoded
from app.training.frozen import Frozen
from app.training.loss import (
    ClassificationLoss,
    DistillationLoss,
    annealed,
    balanced_weights,
    drawing_weights,
    loss_for,
)
from app.training.schedule import Schedule

_KEPT = 2000
"""So many decoded photos stay in memory between epochs, about 0.4 MB each."""
_MARGIN = 5 / 4
"""How much larger they are kept than the transform makes them, so that a crop of them is not blurred."""


@dataclass(slots=True)
class Photos:
    """Training photos by index, decoded once where memory allows."""

    samples: Sequence[Sample]
    max_pixels: int
    shortest_side: int
    _kept: dict[int, Image.Image] = field(default_factory=dict)

    def image(self, index: int) -> Image.Image:
        """Upright RGB, its shorter side at most 5/4 of what the transform makes of it."""
        if index in self._kept:
            return self._kept[index]
        with ThreadPoolExecutor(1) as pool:
            image = next(decoded([self.samples[index].path], self.max_pixels, self.shortest_side, pool))
        scale = self.shortest_side * _MARGIN / min(image.size)
        if scale < 1:
            size = (round(image.width * scale), round(image.height * scale))
            image = image.resize(size, Image.Resampling.BILINEAR)
        if len(self._kept) < _KEPT:
            self._kept[index] = image
        return image


@dataclass(slots=True)
class Steps:
    """Trains `module` (pictures to logits) on the photos of `frozen`, by the loss and augmentation of its options.

    `at_once`: so many pictures are in memory at a time; a batch is made of as many of these as it takes, so that the
    result does not depend on it.
    """

    frozen: Frozen
    module: nn.Module
    device: Device
    optimizer: torch.optim.Optimizer
    epochs: int
    photos: Photos
    batch_size: int
    at_once: int
    say: Callable[[str, str], None]
    _scaler: torch.amp.GradScaler = field(init=False)
    _loss: ClassificationLoss = field(init=False)
    _distillation: DistillationLoss = field(init=False)

    def __post_init__(self) -> None:
        options = self.frozen.options
        self._scaler = self.device.scaler()
        labels = [sample.label for sample in self.photos.samples]
        classes = len(self.frozen.dataset.classes)
        self._loss = loss_for(options.balance, labels, classes, options.label_smoothing).to(self.device.kind)
        self._distillation = DistillationLoss(self._loss, options.temperature, options.alpha)

    def epoch(self, epoch: int, schedule: Schedule) -> float:
        """One pass over all photos, each in a new view; the mean loss."""
        options = self.frozen.options
        view = augmentation(options.augmentation, self.frozen.base.transform)
        if options.anneal_temperature:
            self._distillation.temperature = annealed(options.temperature, epoch / self.epochs)
        batches = list(self._order().split(self.batch_size))
        total = 0.0
        for index, batch in enumerate(batches):
            schedule.at(epoch - 1 + index / len(batches))
            pictures = torch.stack([view(self.photos.image(int(one))) for one in batch])
            labels = torch.tensor([self.photos.samples[int(one)].label for one in batch])
            loss, self.at_once = fitted(self.at_once, lambda size: self._step(pictures, labels, size), self.say)  # noqa: B023
            total += loss * len(batch)
        return total / len(self.photos.samples)

    def _step(self, pictures: Tensor, labels: Tensor, size: int) -> float:
        """One step of the optimiser on a batch, `size` pictures at a time; the loss."""
        self.optimizer.zero_grad()
        total = 0.0
        for part, part_labels in zip(pictures.split(size), labels.split(size), strict=True):
            share = len(part) / len(pictures)
            on_device = self.device.put(part)
            with self.device.mixed():
                logits = self.module(on_device)
            loss = self._loss_of(logits.float(), part_labels.to(self.device.kind), part) * share
            self._scaler.scale(loss).backward()
            total += float(loss.detach())
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return total

    def _loss_of(self, logits: Tensor, labels: Tensor, pictures: Tensor) -> Tensor:
        if self.frozen.teacher is None:
            loss: Tensor = self._loss(logits, labels)
        else:
            loss = self._distillation(logits, labels, self.frozen.teacher.forward(pictures).to(logits.device))
        return loss

    def _order(self) -> Tensor:
        """A new order; where the options say so, the rare more often."""
        labels = [sample.label for sample in self.photos.samples]
        if self.frozen.options.balance == "oversample":
            weights = balanced_weights(labels, len(self.frozen.dataset.classes))
            chances = drawing_weights(torch.tensor(labels), weights)
            return torch.multinomial(chances, len(labels), replacement=True)
        return torch.randperm(len(labels))
