"""Quantisation-aware fine-tuning: layers learn while they are rounded as serving in int8 will round them.

The rounding is torch.ao's fake quantisation, with the very observers of `serving.quantisation` and the same drawn
pictures to set the ranges: what learns is what will be served. What is written afterwards are the plain float weights
of an ordinary network, which serving and export quantise by themselves.
"""

import copy
import warnings
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import fx, nn

from app.serving.quantisation import PICTURES, drawn_pictures, tracer
from app.vision.transform import Transform

_BYTE = 255
_WEIGHTS = "weight_fake_quant"


@dataclass(frozen=True, slots=True)
class Rounded:
    """`network`: a copy of a backbone, in evaluation mode, that computes in float32 what int8 would say, and can learn.

    `observers`: those of its activations, by name, as they were before they had seen anything.
    """

    network: nn.Module
    observers: dict[str, nn.Module]
    transform: Transform

    def set_ranges(self) -> None:
        """Look again at how far the activations reach, now that the weights have changed; and keep to that."""
        activations = {name: self.network.get_submodule(name) for name in self.observers}
        weights = [module for name, module in self.network.named_modules() if name.endswith(_WEIGHTS)]
        for module in weights:  # the ranges that serving finds are those of the plain network, too
            _switch(module, observer=True, rounding=False)
        for name, module in activations.items():
            module.activation_post_process = copy.deepcopy(self.observers[name])
            _switch(module, observer=True, rounding=False)
        with torch.no_grad():
            here = next(self.network.parameters()).device
            self.network(drawn_pictures(PICTURES, self.transform, seed=0).to(here))
        for module in activations.values():
            _switch(module, observer=False, rounding=True)
            # x86's observers leave the upper half of the bytes free, against overflow; what is served does use it.
            module.activation_post_process.quant_max = _BYTE  # type: ignore[union-attr]
        for module in weights:
            _switch(module, observer=True, rounding=True)

    def write_back(self, backbone: nn.Module) -> None:
        """Put what was learned into the plain network that the copy was made from."""
        norms = _norms(backbone)
        plain = dict(backbone.named_modules())
        with torch.no_grad():
            for name, module in self.network.named_modules():
                target = plain.get(name)
                if not isinstance(target, nn.Conv2d | nn.Linear) or not hasattr(module, _WEIGHTS):
                    continue
                target.weight.copy_(module.weight)
                if target.bias is not None:
                    target.bias.copy_(module.bias)
                if hasattr(module, "bn"):
                    plain[norms[name]].load_state_dict(module.bn.state_dict())


def rounded(backbone: nn.Module, transform: Transform) -> Rounded:
    """The copy of a backbone to teach.

    Raises:
        Exception: the network cannot be taken apart (torch.fx says how it likes), or torch has no kernels here.
    """
    from torch.ao.quantization import FakeQuantize, quantize_fx

    example = torch.zeros(1, 3, transform.crop, transform.crop)
    with warnings.catch_warnings(), patch.object(quantize_fx, "QuantizationTracer", tracer()):
        warnings.simplefilter("ignore")  # the deprecation that serving.quantisation's docstring answers
        fake: nn.Module = quantize_fx.prepare_qat_fx(copy.deepcopy(backbone).train(), _mapping(), (example,))
    fake.eval().requires_grad_(True)
    observers: dict[str, nn.Module] = {
        name: copy.deepcopy(module.activation_post_process)
        for name, module in fake.named_modules()
        if isinstance(module, FakeQuantize) and not name.endswith(_WEIGHTS)
    }
    found = Rounded(fake, observers, transform)
    found.set_ranges()
    return found


def _mapping() -> Any:  # noqa: ANN401 - torch.ao's own
    """Which observers look at what: serving's for activations; a layer's weights reach as far as they do just now."""
    from torch.ao.quantization import (
        FakeQuantize,
        MovingAveragePerChannelMinMaxObserver,
        QConfig,
        QConfigMapping,
        get_default_qconfig_mapping,
    )

    served = get_default_qconfig_mapping(torch.backends.quantized.engine).global_qconfig
    if served is None:
        raise RuntimeError("torch has no int8 kernels here")
    activation = FakeQuantize.with_args(observer=served.activation, quant_min=0, quant_max=_BYTE)
    weight = FakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver,
        averaging_constant=1.0,
        quant_min=-128,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    return QConfigMapping().set_global(QConfig(activation=activation, weight=weight))


def _switch(module: Any, *, observer: bool, rounding: bool) -> None:  # noqa: ANN401 - a FakeQuantize, which is untyped
    module.enable_observer(observer)
    module.enable_fake_quant(rounding)


def _norms(backbone: nn.Module) -> dict[str, str]:
    """The name of the batch norm that follows each convolution."""
    modules = dict(backbone.named_modules())
    pairs = {}
    for node in fx.symbolic_trace(backbone).graph.nodes:
        if node.op == "call_module" and isinstance(modules.get(str(node.target)), nn.BatchNorm2d):
            pairs[str(node.args[0].target)] = str(node.target)
    return pairs
