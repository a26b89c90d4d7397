"""A network made ready to serve: traced, frozen, channels-last, and warmed with real batches.

TorchScript is deprecated in favour of torch.export, but on a plain CPU a frozen trace is still the quickest start and
needs no compiler on the user's machine, which torch.compile does.
"""

import copy
import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.serving.quantisation import drawn_pictures, quantised
from app.vision.transform import Transform

LOG = logging.getLogger(__name__)
WARM_BATCHES = (1, 1, 4)
"""TorchScript profiles its first run and optimises on the second; the third is as large as serving's largest."""
AGREEMENT = 0.99
"""The least cosine similarity between a lower precision's features and float32's, for the lower one to be used."""

Forward = Callable[[Tensor], Tensor]


def compile_backbone(backbone: nn.Module, transform: Transform, precision: str) -> tuple[Forward, str]:
    """The backbone as a function float32 `[n, 3, crop, crop]` to float32 features `[n, D]`, and its true precision.

    A lower precision that disagrees with float32 on this machine, or is not to be had, falls back, and the log says so.
    """
    if precision != "float32":
        try:
            lower = _lower(backbone, transform, precision)
            if _agree(backbone, lower, transform):
                return lower, precision
            LOG.warning("%s disagrees with float32 for this network on this machine: float32 it is", precision)
        except Exception as error:  # whatever torch says of a network or a processor that it cannot do this for
            LOG.warning("%s is not to be had for this network on this machine: float32 it is (%s)", precision, error)
    return _trace(backbone, transform.crop, torch.float32), "float32"


def _lower(backbone: nn.Module, transform: Transform, precision: str) -> Forward:
    if precision == "bfloat16":
        return _trace(copy.deepcopy(backbone).to(torch.bfloat16), transform.crop, torch.bfloat16)
    return _trace(quantised(backbone, transform), transform.crop, torch.float32)


def _trace(backbone: nn.Module, crop: int, dtype: torch.dtype) -> Forward:
    example = torch.zeros(1, 3, crop, crop, dtype=dtype).to(memory_format=torch.channels_last)
    network = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the deprecation that the module's docstring answers
        traced = torch.jit.freeze(torch.jit.trace(network, example, check_trace=False))

    def forward(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            features: Tensor = traced(batch.to(dtype=dtype, memory_format=torch.channels_last))
            return features.float()

    for size in WARM_BATCHES:
        forward(torch.rand(size, 3, crop, crop))
    return forward


def _agree(backbone: nn.Module, lower: Forward, transform: Transform) -> bool:
    """Whether the lower precision's features point where float32's do, for pictures that it was not calibrated on."""
    batch = drawn_pictures(8, transform, seed=1)
    with torch.inference_mode():
        similarity = torch.nn.functional.cosine_similarity(backbone(batch), lower(batch))
    return bool(similarity.min() >= AGREEMENT)
