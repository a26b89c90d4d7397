"""Whom a student learns from: another network, a version of our own, or an ensemble."""

from dataclasses import replace

from torch import Tensor

from app.config import Settings
from app.registry.catalog import BUILT_IN
from app.serving.mode import Mode
from app.serving.served import served_mode
from app.training.base import forward_of, load_base
from app.training.device import Device
from app.training.features import FeatureReader, Forward
from app.training.frozen import Frozen
from app.training.progress import SILENT


def load_teacher(frozen: Frozen, settings: Settings, device: Device) -> FeatureReader:
    """A reader of the teacher's logits for the student's own classes, `[1 + views, n, classes]`.

    A version of ours that has these classes answers as it is. Any other teacher first gets a head for them, fitted on
    its features of the plain views. Each is shown the student's pictures by its own statistics, and in its own size.

    Raises:
        ModelError: there is no such version. WeightsError: there is no such network, or its weights are not here.
    """
    name = frozen.options.teacher or ""
    mode: Mode | None = None
    features: Forward
    if name in BUILT_IN or (settings.models_dir / name.partition("@")[0]).is_dir():
        mode = served_mode(name, settings)
        transform, features = mode.backbone.transform, mode.backbone.features
    else:
        base = load_base(name, settings)
        transform, features = base.transform, forward_of(base.network, base.transform, device)

    def seen(batch: Tensor) -> Tensor:
        return features(frozen.base.transform.shown_to(transform, batch))

    if mode is not None and tuple(label.label for label in mode.labels) == frozen.dataset.classes:
        return _reader(frozen, name, lambda batch: mode.head.logits(seen(batch)))
    options = frozen.options.model_copy(update={"augmentation": "none", "weight_decay": None})
    learning = replace(frozen, reader=_reader(frozen, f"{name}-features", seen), options=options, teacher=None)
    head = learning.fit_head(SILENT)
    return _reader(frozen, name, lambda batch: head.logits(seen(batch)))


def _reader(frozen: Frozen, tag: str, forward: Forward) -> FeatureReader:
    return replace(frozen.reader, forward=forward, rough=None, tag=f"{tag}-")
