"""Whom a student learns from: another network, or a version of our own."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from app.config import Settings
from app.serving.served import served_mode
from app.training.base import forward_of, load_base
from app.training.device import Device
from app.training.features import FeatureReader, Forward
from app.training.frozen import Frozen
from app.training.progress import SILENT
from app.vision.transform import Transform


@dataclass(frozen=True, slots=True)
class Seen:
    """Shows a student's pictures to a network with another transform: other statistics, another size."""

    forward: Forward
    student: Transform
    teacher: Transform

    def __call__(self, batch: Tensor) -> Tensor:
        """Pictures as the student sees them to what `forward` says of them."""
        pixels = batch * _three(self.student.std) + _three(self.student.mean)
        if self.teacher.crop != self.student.crop:
            size = (self.teacher.crop, self.teacher.crop)
            pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        return self.forward((pixels - _three(self.teacher.mean)) / _three(self.teacher.std))


def load_teacher(frozen: Frozen, settings: Settings, device: Device) -> FeatureReader:
    """A reader of the teacher's logits for the student's own classes, `[1 + views, n, classes]`.

    A version of ours that has these classes answers as it is. Any other teacher first gets a head for them, fitted on
    its features of the plain views.

    Raises:
        ModelError: there is no such version. WeightsError: there is no such network, or its weights are not here.
    """
    name = frozen.options.teacher or ""
    if (settings.models_dir / name.partition("@")[0]).is_dir():
        mode = served_mode(name, settings)
        transform = mode.backbone.transform
        features: Forward = mode.backbone.features
        if tuple(label.label for label in mode.labels) == frozen.dataset.classes:
            answers = Seen(lambda batch: mode.head.logits(features(batch)), frozen.base.transform, transform)
            return replace(frozen.reader, forward=answers, rough=None, tag=f"{name}-")
    else:
        base = load_base(name, settings)
        features, transform = forward_of(base.network, base.transform, device), base.transform
    seen = Seen(features, frozen.base.transform, transform)
    reader = replace(frozen.reader, forward=seen, rough=None, tag=f"{name}-features-")
    options = frozen.options.model_copy(update={"augmentation": "none", "weight_decay": None})
    head = replace(frozen, reader=reader, options=options, teacher=None).fit_head(SILENT)

    def logits(batch: Tensor) -> Tensor:
        return head.logits(seen(batch))

    return replace(frozen.reader, forward=logits, rough=None, tag=f"{name}-")


def _three(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1)
