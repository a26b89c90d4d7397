"""A backbone in memory: one for all the modes that stand on it."""

from collections.abc import Callable

from torch import Tensor, nn

from app.serving.compile import compile_backbone
from app.vision.networks import SplitNetwork
from app.vision.transform import Transform


class Backbone:
    """A compiled network without its head. Two modes share one exactly when they share its `fingerprint`."""

    read_again: Callable[[], nn.Module] | None = None
    """Reads the plain network from where it lay when it was loaded; raises a WanwuError where it cannot."""

    def __init__(self, network: SplitNetwork, fingerprint: str, transform: Transform, precision: str) -> None:
        self.name = network.name
        self.fingerprint = fingerprint
        self.transform = transform
        self.width = network.weight.shape[1]
        self._forward, self.precision = compile_backbone(network.backbone, transform, precision)

    def features(self, batch: Tensor) -> Tensor:
        """Float32 `[n, 3, crop, crop]`, normalised as `transform` says, to float32 features `[n, width]`."""
        return self._forward(batch)
