"""A network's convolutions as this processor wants them, through oneDNN, which torch brings along.

Batch norm is folded into the weights, a sum and a ReLU that follow are done by the convolution itself, and the weights
are laid out for it once; a plain network lays them out anew in every pass, a quarter of a lone picture's time. The
operators are those that torch's compiler calls (torch/_inductor/fx_passes/mkldnn_fusion.py); nothing is compiled here.
"""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Union, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

_SUMS = {operator.add, operator.iadd, torch.add}
_ACTIVATIONS = {
    nn.ReLU: "relu",
    functional.relu: "relu",
    torch.relu: "relu",
    nn.ReLU6: "hardtanh",
    functional.relu6: "hardtanh",
}
"""What is done along with a convolution, in oneDNN's words."""

# TorchScript's way to say a list of Scalar?, which is what the operator takes.
_Scalars = list[Union[complex, float, int, None]]  # noqa: UP007


class PackedConvolution(nn.Module):
    """A convolution, what is added to it, and its activation, in one operator. Written in TorchScript's Python."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d, input_shape: torch.Size, activation: str) -> None:
        super().__init__()
        self.activation = activation
        self.padding, self.stride = [int(side) for side in convolution.padding], list(convolution.stride)
        self.dilation, self.groups = list(convolution.dilation), convolution.groups
        weight, bias = convolution.weight.detach().to_mkldnn(), convolution.bias
        laid_out = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
            weight, self.padding, self.stride, self.dilation, self.groups, list(input_shape)
        )
        self.register_buffer("weight", laid_out)
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """`[n, C, h, w]` to `[n, C', h', w']`; `added` has the shape of the result."""
        scalars = torch.jit.annotate(_Scalars, [0.0, 6.0] if self.activation == "hardtanh" else [])
        if added is None:
            return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
                x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups,
                self.activation, scalars, "",
            )  # fmt: skip
        return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
            x, added, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups,
            "add", 1.0, self.activation, scalars, "",
        )  # fmt: skip

    def share(self, other: "PackedConvolution") -> None:
        """Keep one copy of the weights where both have the same layout."""
        layout = torch.ops.mkldnn._get_mkldnn_serialized_md
        if torch.equal(layout(self.weight), layout(other.weight)):
            self.weight = other.weight


def packed(backbone: nn.Module, cases: Sequence[tuple[Tensor, int]]) -> list[nn.Module]:
    """Copies of the backbone, in evaluation mode, each laid out for batches like one example on so many threads.

    All take other batches and threads, too, and are slower with them: some of the weights are then laid out anew. What
    they have alike is in memory once.

    Raises:
        Exception: the network cannot be taken apart (torch.fx says how it likes), or torch has no oneDNN here.
    """
    networks = [_packed(backbone, example, threads) for example, threads in cases]
    for network in networks[1:]:
        for module, first in zip(network.modules(), networks[0].modules(), strict=True):
            if isinstance(module, PackedConvolution) and isinstance(first, PackedConvolution):
                module.share(first)
    for network in networks:
        for name, module in list(network.named_modules()):
            if isinstance(module, PackedConvolution):
                network.set_submodule(name, torch.jit.script(module))  # a trace cannot say lists of scalars
    return list(networks)


def _packed(backbone: nn.Module, example: Tensor, threads: int) -> fx.GraphModule:
    from torch.fx.experimental.optimization import fuse

    network = cast(fx.GraphModule, fuse(backbone))
    shapes = _Shapes(network)
    with _threads(threads), torch.no_grad():
        shapes.run(example[:1])
        for node in list(network.graph.nodes):
            if node.op == "call_module" and _is_packable(network.get_submodule(node.target)):
                _pack(network, node, shapes.of, len(example))
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    return network


class _Shapes(fx.Interpreter):
    """Runs a network once, and takes down the shape of what each node gives."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.of: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - whatever the node gives
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.of[n] = result.shape
        return result


def _is_packable(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and not isinstance(module.padding, str) and module.padding_mode == "zeros"


def _pack(network: fx.GraphModule, node: fx.Node, shapes: dict[fx.Node, torch.Size], count: int) -> None:
    """Replace a convolution, and as much of what follows it as the operator can do. `shapes` are of one picture."""
    inputs, last = [cast(fx.Node, node.args[0])], node
    sum_ = _only_user(node)
    if sum_ is not None and sum_.target in _SUMS and _activation(network, _only_user(sum_)) == "relu":
        added = [one for one in sum_.args if one is not node]
        if len(added) == 1 and isinstance(added[0], fx.Node) and shapes.get(added[0]) == shapes[node]:
            inputs, last = [*inputs, added[0]], sum_
    after = _only_user(last)
    activation = _activation(network, after)
    if after is not None and activation:
        last = after
    convolution = cast(nn.Conv2d, network.get_submodule(str(node.target)))
    name = f"packed_{node.name}"
    input_shape = torch.Size([count, *shapes[inputs[0]][1:]])
    network.add_submodule(name, PackedConvolution(convolution, input_shape, activation or "none"))
    with network.graph.inserting_before(last):
        new = network.graph.call_module(name, tuple(inputs))
    shapes[new] = shapes[last]
    last.replace_all_uses_with(new)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(network: fx.GraphModule, node: fx.Node | None) -> str | None:
    """What oneDNN calls the activation that this node is; None: it is none, or none that it can do."""
    if node is None:
        return None
    what = type(network.get_submodule(str(node.target))) if node.op == "call_module" else node.target
    return _ACTIVATIONS.get(cast(Any, what))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Within it torch has so many threads here: oneDNN looks at their number as it chooses a layout."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
