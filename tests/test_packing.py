"""Packed networks: the same answers as the plain ones, with less to do."""

import logging
import threading
from collections.abc import Sequence

import pytest
import torch
import torchvision
from torch import Tensor, nn

from app.serving import compile as compiling
from app.serving.compile import compile_backbone
from app.serving.packing import PackedConvolution, packed
from app.vision.efficientnet_lite0 import EfficientNetLite0
from app.vision.transform import IMAGENET

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def drawn(network: nn.Module) -> nn.Module:
    """The network with batch norms that do something, in evaluation mode, channels-last."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 224, 224).to(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def _same_noise_and_threads() -> object:
    torch.manual_seed(0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "efficientnet_lite0"])
def test_a_packed_network_gives_the_plain_ones_features_for_every_batch_and_number_of_threads(name: str) -> None:
    plain = drawn(EfficientNetLite0() if name == "efficientnet_lite0" else torchvision.models.get_model(name))
    networks = packed(plain, [(pictures(4), 1), (pictures(1), 2)])
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for count in (1, 3, 4):
            batch = pictures(count)
            with torch.inference_mode():
                expected = plain(batch)
                for network in networks:
                    torch.testing.assert_close(network(batch), expected, rtol=1e-4, atol=1e-5)


def test_batch_norms_sums_and_activations_are_done_by_the_convolutions() -> None:
    (network,) = packed(drawn(torchvision.models.resnet18()), [(pictures(1), 1)])
    left = {type(module).__name__ for module in network.modules() if not list(module.children())}
    assert not left & {"Conv2d", "BatchNorm2d", "ReLU"}
    assert not [node for node in network.graph.nodes if node.op == "call_function" and "add" in str(node.target)]
    (clipped,) = packed(drawn(torchvision.models.mobilenet_v2()), [(pictures(1), 1)])
    assert not [module for module in clipped.modules() if isinstance(module, nn.ReLU6)]


def test_a_sum_of_different_shapes_is_left_to_torch() -> None:
    class Broadcasting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.convolution(x) + x.mean((2, 3), keepdim=True))

    plain = drawn(Broadcasting())
    (network,) = packed(plain, [(pictures(2), 1)])
    batch = pictures(2)
    torch.testing.assert_close(network(batch), plain(batch))


def test_weights_that_lie_alike_are_in_memory_once() -> None:
    plain = drawn(torchvision.models.resnet18())
    first, second = packed(plain, [(pictures(4), 1), (pictures(4), 1)])
    weights = [[m.weight for m in one.modules() if is_packed(m)] for one in (first, second)]
    assert len(weights[0]) == 20
    assert all(one is other for one, other in zip(*weights, strict=True))


def is_packed(module: nn.Module) -> bool:
    return getattr(module, "original_name", "") == PackedConvolution.__name__


def test_a_network_that_cannot_be_taken_apart_is_served_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    class Branching(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            means = picture.mean((2, 3))
            return means if bool(means.sum() > 0) else -means

    with caplog.at_level(logging.INFO):
        forward, precision = compile_backbone(Branching().eval(), IMAGENET, "float32")
    assert precision == "float32"
    assert "not packed" in caplog.text
    torch.testing.assert_close(forward(torch.ones(1, 3, 224, 224)), torch.ones(1, 3))


def test_a_packed_network_that_gives_something_else_is_not_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = drawn(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))

    def wrong(network: nn.Module, cases: Sequence[tuple[Tensor, int]]) -> list[nn.Module]:
        return [nn.Sequential(network, nn.Threshold(10.0, 10.0)) for _ in cases]

    monkeypatch.setattr(compiling, "packed", wrong)
    batch = pictures(2)
    with caplog.at_level(logging.INFO):
        forward, _ = compile_backbone(backbone, IMAGENET, "float32")
    assert "gives something else" in caplog.text
    torch.testing.assert_close(forward(batch), backbone(batch))


def test_what_serves_does_not_notice_that_another_network_is_compiled() -> None:
    """torch.fx replaces the call of every module for as long as it looks at one."""
    networks = [drawn(torchvision.models.mobilenet_v2()) for _ in range(2)]
    forward, _ = compile_backbone(networks[0], IMAGENET, "float32")
    batch, stop, failures, answered = pictures(1), threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            try:
                answered.append(forward(batch).shape)
            except Exception as error:
                failures.append(error)
                return

    asking = threading.Thread(target=ask)
    asking.start()
    compilers = [threading.Thread(target=compile_backbone, args=(one, IMAGENET, "int8")) for one in networks]
    for thread in compilers:
        thread.start()
    for thread in compilers:
        thread.join()
    stop.set()
    asking.join()
    assert answered
    assert not failures
