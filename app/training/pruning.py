"""Structured pruning: whole channels taken out of a backbone, so that what is left is an ordinary, narrower network.

Only channels that nobody else sees may go: those between two convolutions in a row, within a block. What a block adds
to, or hands on, keeps its width, so that heads, features and the rest of the house are as before. Weights set to nought
one by one (unstructured pruning) would be as quick and as large as before: a processor multiplies noughts, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn

from app.vision.narrow import take_in, take_norm, take_out

_PASSING = (nn.ReLU, nn.ReLU6, nn.Dropout, nn.Identity)
_STEP = 8
"""Convolutions are quickest where their channels come in eights."""


@dataclass(frozen=True, slots=True)
class Inside:
    """Channels that one convolution gives and one takes; between them batch norms, and convolutions over each alone."""

    gives: nn.Conv2d
    between: tuple[nn.Module, ...]
    takes: nn.Conv2d


def insides(backbone: nn.Module) -> list[Inside]:
    """All channels of the backbone that may be taken out."""
    modules = dict(backbone.named_modules())
    graph = fx.symbolic_trace(backbone).graph
    return [found for node in graph.nodes if (found := _inside(node, modules)) is not None]


def prune(backbone: nn.Module, share: float) -> tuple[int, int]:
    """Take out `share` of the channels of each of `insides`, the weakest; how many there were, and how many are left.

    A channel is as strong as its filter is long, times what batch norm makes of it (after Li et al. 2017).
    """
    before = left = 0
    for inside in insides(backbone):
        count = inside.gives.out_channels
        kept = min(count, _STEP * round(count * (1 - share) / _STEP) or max(1, round(count * (1 - share))))
        keep = _strength(inside).topk(kept).indices.sort().values
        take_out(inside.gives, keep)
        for module in inside.between:
            if isinstance(module, nn.Conv2d):
                take_out(module, keep)
            elif isinstance(module, nn.BatchNorm2d):
                take_norm(module, keep)
        take_in(inside.takes, keep)
        before, left = before + count, left + kept
    return before, left


def _inside(node: fx.Node, modules: dict[str, nn.Module]) -> Inside | None:
    gives = _convolution(node, modules)
    if gives is None or gives.groups > 1:
        return None
    between: list[nn.Module] = []
    for after in _in_a_row(node):
        module = modules.get(str(after.target)) if after.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            return Inside(gives, tuple(between), module)
        alone = isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels
        if not alone and not isinstance(module, (*_PASSING, nn.BatchNorm2d)) and not _is_activation(after):
            return None
        if module is not None:
            between.append(module)
    return None


def _in_a_row(node: fx.Node) -> Iterator[fx.Node]:
    """What follows, for as long as each has one user."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        yield node


def _convolution(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Conv2d | None:
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, nn.Conv2d) else None


def _is_activation(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target in (
        torch.relu,
        nn.functional.relu,
        nn.functional.relu6,
        nn.functional.dropout,
    )


def _strength(inside: Inside) -> Tensor:
    strength: Tensor = inside.gives.weight.detach().flatten(1).norm(dim=1)
    norm = next((one for one in inside.between if isinstance(one, nn.BatchNorm2d)), None)
    if norm is not None:
        spread = (cast(Tensor, norm.running_var) + norm.eps).sqrt()
        strength = strength * norm.weight.detach().abs() / spread
    return strength
