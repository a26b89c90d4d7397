"""The backbone that a run starts from, and what it is trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.config import Settings
from app.errors import WeightsError
from app.serving.backbone import Backbone
from app.training.device import Device
from app.training.features import Forward
from app.vision.networks import SplitNetwork, build, fingerprint, transform_of
from app.vision.transform import Transform
from app.vision.weights import find_network_weights, find_weights


@dataclass(frozen=True, slots=True)
class Base:
    """A network with its ImageNet head, the fingerprint of its backbone, and its transform."""

    network: SplitNetwork
    fingerprint: str
    transform: Transform


def load_base(name: str | None, settings: Settings) -> Base:
    """The network called `name`, or without a name the one that serves the `imagenet` mode here.

    Raises:
        WeightsError: its weights are not here; the sentence says how to get them.
    """
    weights = find_weights(settings) if name is None else find_network_weights(name, settings)
    if weights is None:
        raise WeightsError(
            f"The weights of {name} are not here. To get them: python -m app fetch-weights --network {name}"
        )
    network = build(weights.name, weights.state_dict())
    return Base(network, fingerprint(network.backbone.state_dict()), transform_of(weights.name))


def forward_of(network: SplitNetwork, transform: Transform, device: Device) -> Forward:
    """The frozen backbone as a function from pictures to float32 features; on the CPU, exactly the one that serves."""
    if device.kind == "cpu":
        precision = "bfloat16" if device.dtype == torch.bfloat16 else "float32"
        return Backbone(network, "", transform, precision).features
    module = network.backbone.to(device.kind, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(batch: Tensor) -> Tensor:
        with torch.inference_mode(), device.mixed():
            features: Tensor = module(device.put(batch))
            return features.float().cpu()

    return forward


def rough_forward_of(network: SplitNetwork, transform: Transform, device: Device) -> Forward | None:
    """As `forward_of` and quicker, in int8; None where there is no such thing, or it says something else."""
    if device.kind != "cpu":
        return None
    backbone = Backbone(network, "", transform, "int8")
    return backbone.features if backbone.precision == "int8" else None
