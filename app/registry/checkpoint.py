"""Plain `.pth` files as people keep them: ResNet-18 with another `fc`, `features.*` + `classifier.*`, a bare head."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.errors import ModelError

CHECKPOINT_NETWORK = "resnet18"
PLAIN_THRESHOLD = 0.6
"""For a plain checkpoint, which brings no measured threshold of its own."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.")
_SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""`nn.Sequential(*list(resnet18.children())[:-1])` numbers the children; those with tensors are these."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`weight` [classes, D] and `bias` [classes] of the head; `backbone` ResNet-18's own names, or None: the base's."""

    weight: Tensor
    bias: Tensor
    backbone: Mapping[str, Tensor] | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a state_dict, with `weights_only=True`: nothing in the file can run.

    Raises:
        ModelError: unreadable, or not one of the shapes named above.
    """
    state = _strip_prefixes(_read_state_dict(path))
    if any(key.startswith("features.") for key in state):
        state = _as_resnet18(state)
    heads = [key.removesuffix("weight") for key in ("fc.weight", "weight") if key in state]
    if not heads:
        raise ModelError("it holds no 'fc' and no 'features' with a 'classifier': is it a ResNet-18's state_dict?")
    prefix = heads[0]
    weight = state.pop(f"{prefix}weight").float()
    if weight.ndim != 2:  # noqa: PLR2004
        raise ModelError(f"the head's weight has the shape {tuple(weight.shape)}, not [classes, features]")
    bias = state.pop(f"{prefix}bias", None)
    bias = torch.zeros(len(weight)) if bias is None else bias.float()
    if bias.shape != weight.shape[:1] or not (weight.isfinite().all() and bias.isfinite().all()):
        raise ModelError("the head's weight and bias do not fit, or are not finite numbers")
    return Checkpoint(weight, bias, state or None)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path.name} is damaged, still being copied, or holds more than tensors") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise ModelError("it is not a state_dict")
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if len(state) != len(content):
        raise ModelError("it is not a state_dict: it holds more than tensors")
    return state


def _strip_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without `module.` (DataParallel) or `model.` (Lightning) where every key has it."""
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _as_resnet18(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`features.*` + `classifier.*` under ResNet-18's own names; the classifier must be one linear layer."""
    renamed = {}
    heads = set()
    for key, value in state.items():
        room, _, rest = key.partition(".")
        if room == "features":
            child, _, tail = rest.partition(".")
            renamed[f"{_SEQUENTIAL.get(child, child)}.{tail}"] = value
        elif room in ("classifier", "fc"):
            heads.add(rest.rpartition(".")[0])
            renamed[f"fc.{rest.rpartition('.')[2]}"] = value
        else:
            raise ModelError(f"it holds '{key}' beside 'features' and 'classifier'")
    if len(heads) != 1:
        raise ModelError("its classifier must be one linear layer")
    return renamed
