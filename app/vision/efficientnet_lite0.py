"""EfficientNet-Lite0, with the parameter names of the packaged file (converted from TensorFlow's checkpoint).

EfficientNet-B0 without squeeze-and-excitation, ReLU6 in place of swish, stem and head not scaled.
"""

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-3
"""TensorFlow's, not PyTorch's 1e-5."""

STAGES = (
    # repeats, kernel, stride of the first block, expansion, channels in, channels out
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


def margins(kernel: int, stride: int) -> tuple[int, int]:
    """How many zeros go before and after a side, as TensorFlow's SAME has it: where it halves, the odd one goes after.

    They are fixed for even sides (an input whose sides are multiples of 32 has them at every stride), so that tracing
    finds no arithmetic on shapes.
    """
    return (kernel - stride) // 2, (kernel - stride + 1) // 2


def padding(kernel: int, stride: int) -> nn.Module:
    """What stands before `convolution` where that cannot pad by itself: one side wants more zeros than the other."""
    before, after = margins(kernel, stride)
    return nn.Identity() if before == after else nn.ZeroPad2d((before, after, before, after))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias; `padding` stands before it, unless its kernel is 1."""
    before, after = margins(kernel, stride)
    return nn.Conv2d(inputs, outputs, kernel, stride, before if before == after else 0, groups=groups, bias=False)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """A batch normalisation over `channels`, with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


class Block(nn.Module):
    """Widen, filter each channel, narrow; the input is added where the shape stays the same."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self._expands = expansion > 1
        if self._expands:
            self._expand_conv = convolution(inputs, wide, 1)
            self._bn0 = batch_norm(wide)
        self._padding = padding(kernel, stride)
        self._depthwise_conv = convolution(wide, wide, kernel, stride, groups=wide)
        self._bn1 = batch_norm(wide)
        self._project_conv = convolution(wide, outputs, 1)
        self._bn2 = batch_norm(outputs)
        self._adds_input = stride == 1 and inputs == outputs

    def forward(self, picture: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(picture))) if self._expands else picture
        wide = F.relu6(self._bn1(self._depthwise_conv(self._padding(wide))))
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return narrow + picture if self._adds_input else narrow


class EfficientNetLite0(nn.Module):
    """float32 `[n, 3, h, w]` (h and w multiples of 32, trained at 224) to logits `[n, 1000]`, ImageNet's order."""

    def __init__(self) -> None:
        super().__init__()
        self._padding = padding(3, stride=2)
        self._conv_stem = convolution(3, 32, 3, stride=2)
        self._bn0 = batch_norm(32)
        self._blocks = nn.ModuleList(
            Block(outputs if repeat else inputs, outputs, kernel, 1 if repeat else stride, expansion)
            for repeats, kernel, stride, expansion, inputs, outputs in STAGES
            for repeat in range(repeats)
        )
        self._conv_head = convolution(320, 1280, 1)
        self._bn1 = batch_norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, picture: Tensor) -> Tensor:
        features = F.relu6(self._bn0(self._conv_stem(self._padding(picture))))
        for block in self._blocks:
            features = block(features)
        features = F.relu6(self._bn1(self._conv_head(features)))
        logits: Tensor = self._fc(features.mean((2, 3)))
        return logits
