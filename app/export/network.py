"""A mode as one network: pictures in, probabilities out."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.config import Settings
from app.errors import ExportError
from app.serving.backbone import Backbone
from app.serving.ensemble import EnsembleBackbone
from app.serving.head import SMOOTHING, Head, LinearHead, NeighbourHead
from app.serving.mode import Mode
from app.serving.served import served_mode
from app.vision.networks import SplitNetwork
from app.vision.transform import Transform


class KeptBackbone(Backbone):
    """A backbone that keeps the network it was compiled from; serving would only have it in memory twice."""

    def __init__(self, network: SplitNetwork, fingerprint: str, transform: Transform, precision: str) -> None:
        super().__init__(network, fingerprint, transform, precision)
        self.module = network.backbone


class WholeNetwork(nn.Module):
    """Float32 `[n, 3, crop, crop]`, normalised, to probabilities float32 `[n, classes]`."""

    def __init__(self, backbone: nn.Module, head: nn.Module, temperature: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.temperature = temperature

    def forward(self, picture: Tensor) -> Tensor:
        return torch.softmax(self.head(self.backbone(picture)) / self.temperature, dim=1)


class NeighbourLayer(nn.Module):
    """`NeighbourHead` without what exporters cannot follow: the votes are summed from a table [photos, classes]."""

    neighbours: Tensor
    voices: Tensor

    def __init__(self, head: NeighbourHead) -> None:
        super().__init__()
        self.register_buffer("neighbours", head.neighbours)
        self.register_buffer("voices", functional.one_hot(head.labels, head.classes).float())
        self.k = min(head.k, len(head.labels))

    def forward(self, features: Tensor) -> Tensor:
        alike = functional.normalize(features, dim=1) @ self.neighbours.T
        nearest = alike.topk(self.k, dim=1).indices
        return (self.voices[nearest].sum(dim=1) + SMOOTHING).log()


def open_mode(name: str, settings: Settings) -> tuple[Mode, WholeNetwork]:
    """The mode `MODE` or `MODE@VERSION` as it is served in float32, and the same as one network.

    Raises:
        ModelError, WeightsError: as `served_mode`. ExportError: it is an ensemble.
    """
    mode = served_mode(name, settings.model_copy(update={"precision": "float32"}), KeptBackbone)
    if isinstance(mode.backbone, EnsembleBackbone):
        raise ExportError(
            f"{name} is an ensemble of several networks: teach one network what it knows, and export that "
            f"(python -m app train DATA --mode KEY --teacher {name})."
        )
    backbone = cast(KeptBackbone, mode.backbone).module
    return mode, WholeNetwork(backbone, _layer(mode.head), mode.temperature).eval().requires_grad_(False)


def _layer(head: Head) -> nn.Module:
    if isinstance(head, NeighbourHead):
        return NeighbourLayer(head)
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, head.width, head.classes)
    kept = cast(LinearHead, head)
    linear.load_state_dict({"weight": kept.weight, "bias": kept.bias})
    return linear
