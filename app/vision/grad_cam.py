"""Grad-CAM (Selvaraju et al., 2017): where in a picture a network finds what speaks for a class."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGEST = 255


class _LastMap(TorchFunctionMode):
    """Keeps the last square map `[1, channels, side, side]` that is computed while it is entered, in this thread.

    Watching what is computed finds it in every network, whether its last step is a module or a function.
    """

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.last = picture

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 4 and len(result) == 1:  # noqa: PLR2004
            height, width = result.shape[2:]
            if height == width > 1:
                self.last = result
        return result


def grad_cam(
    backbone: nn.Module, evidence: Callable[[Tensor], Tensor], picture: Tensor, classes: Sequence[int]
) -> Tensor:
    """Where `picture` speaks for each of `classes`: uint8 `[len(classes), side, side]`, over the whole picture.

    `picture`: float32 `[3, crop, crop]`, as `backbone` takes it. `evidence`: features `[1, D]` to what speaks for each
    class `[1, classes]`, before any softmax. The largest value of each map is 255; a map is all zero where nothing
    speaks for the class.
    """
    with torch.enable_grad():
        entry = picture.detach().unsqueeze(0).requires_grad_()
        with _LastMap(entry) as watched:
            features = backbone(entry)
        scores = evidence(features)[0]
        gradients = [torch.autograd.grad(scores[index], watched.last, retain_graph=True)[0] for index in classes]
    weights = torch.cat(gradients).mean((2, 3))
    speaking = torch.einsum("nc,chw->nhw", weights, watched.last.detach()[0]).relu().nan_to_num(0, 0, 0)
    return _scaled(speaking)


def mean_of_maps(maps: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Where several networks look that answer together: one map a class from theirs, by weight, as `grad_cam` gives."""
    if len(maps) == 1:
        return maps[0]
    side = max(one.shape[-1] for one in maps)
    sized = [functional.interpolate(one.unsqueeze(0).float(), (side, side), mode="bilinear")[0] for one in maps]
    return _scaled(sum((weight * one for weight, one in zip(weights, sized, strict=True)), start=torch.zeros(())))


def _scaled(speaking: Tensor) -> Tensor:
    """Maps `[n, side, side]`, none below 0, as uint8, the largest value of each 255; all zero stays zero."""
    peaks = speaking.amax((1, 2), keepdim=True)
    return (speaking / peaks.clamp(min=torch.finfo(peaks.dtype).tiny) * LARGEST).round().to(torch.uint8)
