"""A network of the usual plan with fewer channels inside, as pruning leaves it (`training.pruning`)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def narrow(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Give the layers of `network` the fewer channels that the tensors of `state` have; whether any has fewer.

    Only the count of channels may differ: whatever else does not fit is left for `load_state_dict` to refuse.
    """
    changed = False
    for name, module in network.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None or not isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            continue
        before, after = module.weight.shape, weight.shape
        if before == after or len(before) != len(after) or before[2:] != after[2:] or 0 in after:
            continue
        if all(new <= old for new, old in zip(after, before, strict=True)):
            _resize(module, weight)
            changed = True
    return changed


def take_out(module: nn.Conv2d, keep: Tensor) -> None:
    """Let a convolution give the channels `keep` alone; one that goes over each channel by itself takes no others."""
    depthwise = module.groups > 1
    _replace(module, module.weight.detach()[keep], None if module.bias is None else module.bias.detach()[keep])
    module.out_channels = len(keep)
    if depthwise:
        module.in_channels = module.groups = len(keep)


def take_in(module: nn.Conv2d, keep: Tensor) -> None:
    """Let a convolution take the channels `keep` alone."""
    _replace(module, module.weight.detach()[:, keep], None if module.bias is None else module.bias.detach())
    module.in_channels = len(keep)


def take_norm(module: nn.BatchNorm2d, keep: Tensor) -> None:
    """Let a batch norm have the channels `keep` alone."""
    _replace(module, module.weight.detach()[keep], module.bias.detach()[keep])
    module.running_mean, module.running_var = (
        None if one is None else one[keep].clone() for one in (module.running_mean, module.running_var)
    )
    module.num_features = len(keep)


def _resize(module: nn.Conv2d | nn.BatchNorm2d, weight: Tensor) -> None:
    """As the tensor is; what is in it does not matter yet."""
    keep = torch.arange(len(weight))
    if isinstance(module, nn.BatchNorm2d):
        take_norm(module, keep)
        return
    if len(weight) != module.out_channels:
        take_out(module, keep)
    if weight.shape[1] != module.weight.shape[1]:
        take_in(module, torch.arange(weight.shape[1]))


def _replace(module: nn.Conv2d | nn.BatchNorm2d, weight: Tensor, bias: Tensor | None) -> None:
    learning = module.weight.requires_grad
    module.weight = nn.Parameter(weight.contiguous().clone(), learning)
    if bias is not None:
        module.bias = nn.Parameter(bias.clone(), learning)
