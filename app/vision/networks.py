"""A base network by name: its shape, its transform, and its split into a backbone and a head.

All modes on the same backbone share one forward pass; only the head, the last linear layer, is their own.
"""

import hashlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import app.torchvision_light  # noqa: F401

# isort: split
# torchvision only loads after the line above.
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from app.errors import WeightsError
from app.vision import transform
from app.vision.efficientnet_lite0 import EfficientNetLite0
from app.vision.narrow import narrow
from app.vision.transform import Transform

LITE0 = "efficientnet_lite0"
"""The one network that is not torchvision's: it comes with an installed package, so that it is always here."""


@dataclass(frozen=True, slots=True)
class SplitNetwork:
    """A network in evaluation mode, frozen: `backbone(x) @ weight.T + bias` are its logits."""

    name: str
    backbone: nn.Module
    """float32 `[n, 3, h, w]` to features, float32 `[n, D]`: all up to the input of the last linear layer."""
    weight: Tensor
    """float32 `[classes, D]`."""
    bias: Tensor
    """float32 `[classes]`."""


def published(name: str) -> WeightsEnum:
    """torchvision's own ImageNet weights of the network `name` ("resnet18", "mobilenet_v2", …): metadata, no tensors.

    Raises:
        WeightsError: torchvision has no such network, or publishes no IMAGENET1K_V1 weights for it.
    """
    try:
        return torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    except (ValueError, KeyError) as error:
        raise WeightsError(f"There are no ImageNet weights of a network called '{name}'.") from error


def transform_of(name: str) -> Transform:
    """What the network `name` was trained on.

    Raises:
        WeightsError: there is no such network.
    """
    if name == LITE0:
        return transform.EFFICIENTNET_LITE0
    preset = published(name).transforms()
    return Transform(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def build(name: str, state: Mapping[str, Tensor]) -> SplitNetwork:
    """The network `name` with the tensors of `state`, split; it may have any number of classes, and fewer channels
    inside than usual.

    Raises:
        WeightsError: there is no such network, it does not end in a linear layer, or `state` is not its.
    """
    network = _untrained(name)
    path, linear = _last_linear(name, network)
    body = dict(state)
    weight, bias = body.pop(f"{path}.weight", None), body.pop(f"{path}.bias", None)
    if weight is None or weight.shape[1:] != (linear.in_features,):
        raise WeightsError(f"These weights are not those of {name}: '{path}.weight' is missing or has another shape.")
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    if bias.shape != weight.shape[:1]:
        raise WeightsError(f"These weights are not those of {name}: '{path}.bias' has another shape.")
    network.set_submodule(path, nn.Identity())
    narrower = narrow(network, body)
    try:
        network.load_state_dict(body, strict=True)
        if narrower:  # do its channels fit together?
            with torch.inference_mode():
                network.eval()(torch.zeros(1, 3, 64, 64))
    except RuntimeError as error:
        raise WeightsError(f"These weights are not those of {name}: {_first_reason(error)}.") from error
    network.eval().requires_grad_(False)
    return SplitNetwork(name, network, weight.detach().float().clone(), bias.detach().float().clone())


def join(network: SplitNetwork) -> dict[str, Tensor]:
    """The whole network's state_dict under its own names: the inverse of `build`."""
    path, _ = _last_linear(network.name, _untrained(network.name))
    head = {f"{path}.weight": network.weight, f"{path}.bias": network.bias}
    return {**network.backbone.state_dict(), **head}


def fingerprint(backbone_state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of a backbone's tensors: their names, types, shapes and bytes, whatever file they came from.

    A head only means something on the backbone it was trained on: the fingerprint is how they know each other.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone_state.items()):
        if name.endswith("num_batches_tracked"):  # a counter of training steps: no answer depends on it
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _untrained(name: str) -> nn.Module:
    """The network with random weights. Drawing them leaves the caller's random numbers as they were: training counts
    on its seed."""
    with torch.random.fork_rng(devices=[]):
        if name == LITE0:
            return EfficientNetLite0()
        published(name)  # first: get_model also knows detectors and the like
        network: nn.Module = torchvision.models.get_model(name, weights=None)
        return network


def _last_linear(name: str, network: nn.Module) -> tuple[str, nn.Linear]:
    linears = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linears:
        raise WeightsError(f"The network {name} does not end in a linear layer: it cannot be a base network here.")
    return linears[-1]


def _first_reason(error: RuntimeError) -> str:
    """The first of PyTorch's reasons, on one short line: it may go on to list every key that is missing."""
    first, *reasons = str(error).splitlines()
    return textwrap.shorten(reasons[0] if reasons else first, 160, placeholder=" …").rstrip(".")
