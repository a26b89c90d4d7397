"""Whom a student learns from: another network, or a version of our own."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from app.config import Settings
from app.errors import DataError, ModelError
from app.registry.catalog import Entry
from app.registry.versions import active_version
from app.serving.loading import Loader
from app.training.base import forward_of, load_base
from app.training.device import Device
from app.training.features import FeatureReader, Forward
from app.training.frozen import Frozen
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
        DataError: there is no such version. WeightsError: there is no such network, or its weights are not here.
    """
    name = frozen.options.teacher or ""
    key, _, version = name.partition("@")
    folder = settings.models_dir / key
    if folder.is_dir():
        features, transform, known = _our_own(frozen, settings, key, version)
        if known is not None:
            return replace(frozen.reader, forward=Seen(known, frozen.base.transform, transform), tag=f"{name}-")
    else:
        base = load_base(name, settings)
        features, transform = forward_of(base.network, base.transform, device), base.transform
    seen = Seen(features, frozen.base.transform, transform)
    reader = replace(frozen.reader, forward=seen, tag=f"{name}-features-")
    options = frozen.options.model_copy(update={"augmentation": "none", "weight_decay": None})
    head = copy.copy(replace(frozen, reader=reader, options=options, teacher=None).fit_head())

    def logits(batch: Tensor) -> Tensor:
        return head.logits(seen(batch))

    return replace(frozen.reader, forward=logits, tag=f"{name}-")


def _our_own(
    frozen: Frozen, settings: Settings, key: str, version: str
) -> tuple[Forward, Transform, Forward | None]:
    """A version's features, its transform, and its logits where its classes are the student's, in the same order."""
    folder = settings.models_dir / key
    try:
        mode = Loader(settings).version(Entry(key, folder / (version or active_version(folder) or "")))
    except ModelError as error:
        raise DataError(f"The teacher {frozen.options.teacher} cannot be used: {error}.") from error
    backbone, head = mode.backbone, mode.head
    same = tuple(label.label for label in mode.labels) == frozen.dataset.classes
    known: Forward | None = (lambda batch: head.logits(backbone.features(batch))) if same else None
    return backbone.features, backbone.transform, known


def _three(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1)
