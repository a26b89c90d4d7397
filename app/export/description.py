"""`model.json`: all that a program needs to know to use an exported file."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

from app.export.check import Agreement, Limits, limits_of
from app.export.formats import INPUT, OUTPUT, Format, file_name
from app.registry.manifest import ManifestLabel, Title
from app.serving.mode import Mode
from app.vision.transform import Transform


class Array(BaseModel):
    """An input or output; "n" in its shape is any number of pictures."""

    model_config = ConfigDict(frozen=True)

    name: str
    dtype: Literal["float32"] = "float32"
    shape: tuple[str | int, ...]


class Description(BaseModel):
    """`temperature` is within the file's probabilities; where the largest is below `threshold` the mode says "unknown".

    A mode that goes by another score than the probability cannot take that along: its threshold here is the one on
    probabilities that accepts as many known photos.

    `sha256` is of the file, `source_sha256` of the mode's own; `checked` lies within `tolerance`. `engine`: the kernels
    of a quantised file, "x86" or ARM's "qnnpack". The copy inside the file lacks `sha256` and `checked`, which are not
    known before it is written.
    """

    model_config = ConfigDict(frozen=True)

    format: Format
    file: str
    mode: str
    version: str
    title: Title
    backbone: str
    labels: list[ManifestLabel]
    transform: Transform
    temperature: float
    threshold: float
    input: Array
    output: Array
    source_sha256: str
    tolerance: Limits
    engine: str | None = None
    sha256: str | None = None
    checked: Agreement | None = None


def described(mode: Mode, format_: Format) -> Description:
    """What is known of a file before it is written."""
    crop = mode.backbone.transform.crop
    return Description(
        format=format_,
        file=file_name(format_),
        mode=mode.key,
        version=mode.model.version,
        title=Title(en=mode.title_en, zh=mode.title_zh),
        backbone=mode.model.name,
        labels=[ManifestLabel(label=label.label, label_zh=label.label_zh) for label in mode.labels],
        transform=mode.backbone.transform,
        temperature=mode.temperature,
        threshold=_threshold(mode),
        input=Array(name=INPUT, shape=("n", 3, crop, crop)),
        output=Array(name=OUTPUT, shape=("n", len(mode.labels))),
        source_sha256=mode.model.sha256,
        tolerance=limits_of(format_),
        engine=torch.backends.quantized.engine if format_ in ("int8", "dynamic") else None,
    )


def _threshold(mode: Mode) -> float:
    if mode.score.reference.name == "msp" or mode.probability_threshold is None:
        return mode.threshold
    return mode.probability_threshold
