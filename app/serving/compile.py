"""A network made ready to serve: packed, traced, channels-last, and warmed with real batches.

TorchScript is deprecated in favour of torch.export, but on a plain CPU a trace is still the quickest start and needs no
compiler on the user's machine, which torch.compile does.
"""

import copy
import logging
import threading
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.serving.packing import packed
from app.serving.quantisation import drawn_pictures, quantised
from app.vision.transform import Transform

LOG = logging.getLogger(__name__)
WARM_BATCHES = (1, 1, 4, 4)
"""TorchScript profiles its first run and optimises on the second; the last are as large as serving's largest."""
AGREEMENT = 0.99
"""The least cosine similarity between a lower precision's features and float32's, for the lower one to be used."""

SAME = 1e-4
"""The most that a packed network's features may differ from the plain one's, as a share of the largest."""

Forward = Callable[[Tensor], Tensor]

taking_apart = threading.Lock()
"""torch.fx and the quantiser change how every module is called while they take one apart: one thread at a time. What
serves meanwhile must not notice, and so calls the `forward` of a trace, never the module; who must call a module holds
this, too."""


def compile_backbone(backbone: nn.Module, transform: Transform, precision: str) -> tuple[Forward, str]:
    """The backbone as a function float32 `[n, 3, crop, crop]` to float32 features `[n, D]`, and its true precision.

    A lower precision that disagrees with float32 on this machine, or is not to be had, falls back, and the log says so.
    A lone picture is quickest on as many threads as torch has here, more of them on one.
    """
    with taking_apart:
        return _compile(backbone, transform, precision)


def _compile(backbone: nn.Module, transform: Transform, precision: str) -> tuple[Forward, str]:
    if precision != "float32":
        try:
            lower = _lower(backbone, transform, precision)
            if _agree(backbone, lower, transform):
                return lower, precision
            LOG.warning("%s disagrees with float32 for this network on this machine: float32 it is", precision)
        except Exception as error:  # whatever torch says of a network or a processor that it cannot do this for
            LOG.warning("%s is not to be had for this network on this machine: float32 it is (%s)", precision, error)
    return _plain(backbone, transform.crop, torch.float32), "float32"


def _lower(backbone: nn.Module, transform: Transform, precision: str) -> Forward:
    if precision == "bfloat16":
        return _plain(copy.deepcopy(backbone).to(torch.bfloat16), transform.crop, torch.bfloat16)
    network = _frozen(quantised(backbone, transform), _example(1, transform.crop, torch.float32))
    return _warm(lambda batch: network, transform.crop, torch.float32)


def _plain(backbone: nn.Module, crop: int, dtype: torch.dtype) -> Forward:
    """The network in floating point, packed where torch can do that here."""
    backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        return _packed(backbone, crop, dtype)
    except Exception as error:  # whatever torch says of a network or a processor that it cannot do this for
        LOG.info("served as it is, and not packed for this processor (%s)", str(error).partition("\n")[0])
    network = _frozen(backbone, _example(1, crop, dtype))
    return _warm(lambda batch: network, crop, dtype)


def _packed(backbone: nn.Module, crop: int, dtype: torch.dtype) -> Forward:
    """Packed twice, for a lone picture on all threads and for batches on one; weights that lie alike are there once."""
    threads = torch.get_num_threads()
    alone, together = _example(1, crop, dtype), _example(WARM_BATCHES[-1], crop, dtype)
    crowd, *rest = packed(backbone, [(together, 1), (alone, threads)] if threads > 1 else [(together, 1)])
    lone = rest[0] if rest else crowd
    with torch.no_grad():
        expected = backbone(alone)
        difference = max(float((network(alone) - expected).abs().max()) for network in (crowd, lone))
    if not difference <= float(expected.abs().max()) * SAME:
        raise ArithmeticError(f"packed, it gives something else, by {difference:g}")
    serving = _traced(crowd, alone).forward, _traced(lone, alone).forward

    def choose(batch: Tensor) -> Forward:
        return serving[len(batch) == 1 and torch.get_num_threads() == threads]

    return _warm(choose, crop, dtype)


def _example(size: int, crop: int, dtype: torch.dtype) -> Tensor:
    """A batch of noise, the same every time, `[size, 3, crop, crop]`, laid out channels-last."""
    noise = torch.rand(size, 3, crop, crop, generator=torch.Generator().manual_seed(0))
    return noise.to(dtype=dtype, memory_format=torch.channels_last)


def _frozen(network: nn.Module, example: Tensor) -> Forward:
    """Traced, and its weights made constants of the trace, which folds batch norms into them."""
    frozen: Forward = torch.jit.freeze(_traced(network, example)).forward
    return frozen


def _traced(network: nn.Module, example: Tensor) -> torch.jit.ScriptModule:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the deprecation that the module's docstring answers
        traced: torch.jit.ScriptModule = torch.jit.trace(network, example, check_trace=False)
    return traced


def _warm(choose: Callable[[Tensor], Forward], crop: int, dtype: torch.dtype) -> Forward:
    """The function that serves, run as often as it takes to be quick; `choose` says which network takes a batch."""

    def forward(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            features = choose(batch)(batch.to(dtype=dtype, memory_format=torch.channels_last))
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
