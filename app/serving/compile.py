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

LOG = logging.getLogger(__name__)
WARM_BATCHES = (1, 1, 8)
"""TorchScript profiles its first run and optimises on the second; the third is as large as serving's largest."""
_AGREEMENT = 0.99
"""The least cosine similarity between a lower precision's features and float32's, for the lower one to be used."""

Forward = Callable[[Tensor], Tensor]


def compile_backbone(backbone: nn.Module, crop: int, precision: str) -> tuple[Forward, str]:
    """The backbone as a function float32 `[n, 3, crop, crop]` to float32 features `[n, D]`, and its true precision.

    A lower precision that disagrees with float32 on this machine, or is not to be had, falls back, and the log says so.
    """
    forward = _trace(backbone, crop, torch.float32)
    if precision == "bfloat16":
        lower = _trace(copy.deepcopy(backbone).to(torch.bfloat16), crop, torch.bfloat16)
        if _agree(forward, lower, crop):
            return lower, "bfloat16"
        LOG.warning("bfloat16 disagrees with float32 on this machine: serving float32")
    elif precision != "float32":
        LOG.warning("precision %s is not available yet: serving float32", precision)
    return forward, "float32"


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


def _agree(reference: Forward, other: Forward, crop: int) -> bool:
    batch = torch.randn(8, 3, crop, crop, generator=torch.Generator().manual_seed(0))
    similarity = torch.nn.functional.cosine_similarity(reference(batch), other(batch))
    return bool(similarity.min() >= _AGREEMENT)
