"""Int8: static post-training quantisation of a backbone, calibrated without anybody's photos.

torch.ao's quantiser is on its way to the package torchao, whose successor of it needs a compiler on the user's machine;
until then it fuses, observes and converts here, with the kernels that torch brings for x86 (and for ARM).
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from app.vision.transform import Transform

PICTURES = 8
"""More make the start slower, and no answer better."""
_CHANNELS = np.array([[1.0, 0.9, 0.8], [0.9, 1.0, 0.9], [0.8, 0.9, 1.0]])
"""How the colour channels of a photograph go together, roughly."""


def quantised(backbone: nn.Module, transform: Transform) -> nn.Module:
    """A copy of the backbone with fused layers, int8 weights a channel, and int8 activations a tensor.

    The ranges of the activations are those that drawn pictures have.

    Raises:
        Exception: the network cannot be taken apart (torch.fx says how it likes), or torch has no kernels here.
    """
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

    engine = torch.backends.quantized.engine
    pictures = drawn_pictures(PICTURES, transform, seed=0)
    with warnings.catch_warnings(), torch.no_grad(), patch.object(quantize_fx, "QuantizationTracer", tracer()):
        warnings.simplefilter("ignore")  # the deprecation that the module's docstring answers
        observed = quantize_fx.prepare_fx(copy.deepcopy(backbone), get_default_qconfig_mapping(engine), (pictures[:1],))
        observed(pictures)
        converted: nn.Module = quantize_fx.convert_fx(observed)
    return converted


def tracer() -> type:
    """The quantiser's tracer for `patch.object(quantize_fx, "QuantizationTracer", tracer())`, without a note for
    each layer of who called it: the first such note loads torch's compiler, a second and 100 MB."""
    from torch.ao.quantization.fx.tracer import QuantizationTracer

    class Tracer(QuantizationTracer):
        def __init__(self, skipped_names: list[str], skipped_classes: list[Callable[..., Any]]) -> None:
            super().__init__(skipped_names, skipped_classes)
            self.record_stack_traces = False

    return Tracer


def drawn_pictures(count: int, transform: Transform, seed: int) -> Tensor:
    """Clouds of colour as pictures `[count, 3, crop, crop]`, normalised: what a network takes nearest to a photograph.

    The amplitudes of a photograph's spectrum fall about as 1/frequency (Field 1987), and so do these.
    """
    generator = np.random.default_rng(seed)
    size = transform.crop
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequencies[0, 0] = 1 / size
    return torch.stack([transform.tensor(_clouds(generator, frequencies)) for _ in range(count)])


def _clouds(generator: np.random.Generator, frequencies: Any) -> Any:  # noqa: ANN401 - arrays, float and uint8
    """One picture, uint8 `[size, size, 3]`: of its own sharpness, brightness and contrast."""
    white = np.fft.fft2(generator.normal(size=(3, *frequencies.shape)))
    planes = np.fft.ifft2(white / frequencies ** generator.uniform(0.8, 1.6)).real
    planes = (planes - planes.mean((1, 2), keepdims=True)) / planes.std((1, 2), keepdims=True)
    mixed = np.tensordot(np.linalg.cholesky(_CHANNELS), planes, 1)
    values = 128 + generator.uniform(-40, 40) + mixed * generator.uniform(30, 70)
    return np.clip(values, 0, 255).astype(np.uint8).transpose(1, 2, 0)
