"""The layers of a backbone, bottom to top, so that each may learn at its own rate, or not at all."""

from collections.abc import Sequence

from torch import nn

PARTS = 4


def layers(backbone: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """The backbone in four named parts, bottom first; together they hold all its parameters.

    ResNets part as they are drawn: "layer1" (with `conv1` and `bn1`), "layer2", "layer3", "layer4". Other networks part
    into "part1" … "part4" with as many of their blocks in each.
    """
    children = dict(backbone.named_children())
    if all(f"layer{number}" in children for number in range(1, PARTS + 1)):
        stem = [module for name, module in children.items() if not name.startswith("layer")]
        parts = [[children[f"layer{number}"]] for number in range(1, PARTS + 1)]
        return [(f"layer{number}", [*(stem if number == 1 else []), *part]) for number, part in enumerate(parts, 1)]
    blocks = _blocks(backbone)
    cuts = [round(index * len(blocks) / PARTS) for index in range(PARTS + 1)]
    return [(f"part{index + 1}", blocks[cuts[index] : cuts[index + 1]]) for index in range(PARTS)]


def set_trainable(modules: Sequence[nn.Module], trainable: bool) -> None:
    """Let all parameters within learn, or none."""
    for module in modules:
        module.requires_grad_(trainable)


def _blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks in a row that a network is made of: containers are opened until there are enough."""
    blocks = [child for child in module.children() if next(child.parameters(), None) is not None]
    while 0 < len(blocks) < 2 * PARTS:
        largest = max(blocks, key=lambda block: sum(parameter.numel() for parameter in block.parameters()))
        if not isinstance(largest, nn.Sequential):
            break
        place = blocks.index(largest)
        inside = [child for child in largest.children() if next(child.parameters(), None) is not None]
        blocks[place : place + 1] = inside
    return blocks
