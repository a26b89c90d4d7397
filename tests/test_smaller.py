"""Smaller networks: pruned ones are ordinary and narrower, and what learns for int8 is rounded as int8 is served."""

import copy
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import app.torchvision_cpu  # noqa: F401 - before torchvision
from app.config import Settings
from app.errors import DataError, WeightsError
from app.serving.manager import ModelManager
from app.serving.quantisation import drawn_pictures, quantised
from app.training.options import Options
from app.training.order import Order
from app.training.pruning import insides, prune
from app.training.rounding import rounded
from app.training.run import train
from app.training.smaller import PRUNED, ROUNDED, TAUGHT, lines
from app.vision.networks import build, join
from app.vision.transform import IMAGENET

# isort: split
import torchvision

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40)}
QUICK = {"epochs": 1, "views": 1, "device": "cpu", "precision": "float32", "augmentation": "none"}
Block = torchvision.models.resnet.BasicBlock


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(5):
            picture = Image.new("RGB", (90, 80), colour)
            noise = (torch.rand(12, 10, 3, generator=generator) * 255).byte().numpy()
            picture.paste(Image.fromarray(noise).resize((40, 50)), (index * 5, 10))
            picture.save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


TINY = IMAGENET.model_copy(update={"resize": 72, "crop": 64})


def small(seed: int = 0) -> nn.Module:
    """Blocks as ResNets and MobileNets have them, with statistics that are not those of a fresh network."""
    torch.manual_seed(seed)
    stem = [nn.Conv2d(3, 16, 3, stride=4, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inverted = [nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
    inverted += [nn.Conv2d(32, 32, 3, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU6(), nn.Conv2d(32, 16, 1)]
    network = nn.Sequential(*stem, Block(16, 16), *inverted, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
    return network.eval()


def test_only_channels_within_a_block_may_go() -> None:
    found = insides(small())
    assert [(one.gives.out_channels, one.takes.in_channels) for one in found] == [(16, 16), (32, 32)]
    assert sum(isinstance(one, nn.Conv2d) for one in found[1].between) == 1, (
        "the convolution over each alone goes along"
    )
    resnet = insides(torchvision.models.resnet18())
    assert len(resnet) == 8, "one in each of its eight blocks"
    assert len(insides(torchvision.models.mobilenet_v2().features)) >= 16


def test_channels_that_say_nothing_go_first_and_are_not_missed() -> None:
    network = small()
    for inside in insides(network):
        for module in (inside.gives, *inside.between):
            if isinstance(module, nn.BatchNorm2d):
                with torch.no_grad():
                    module.weight[1::2] = 0
                    module.bias[1::2] = 0
                    module.running_mean[1::2] = 0
    pictures = drawn_pictures(2, IMAGENET, seed=5)
    with torch.no_grad():
        expected = network(pictures)
        assert prune(network, 0.5) == (48, 24)
        torch.testing.assert_close(network(pictures), expected, rtol=1e-4, atol=1e-5)


def test_a_pruned_network_is_written_and_read_as_any_other(toy_weights: Path) -> None:
    network = build("resnet18", torch.load(toy_weights, weights_only=True))
    before, left = prune(network.backbone, 0.3)
    assert left / before == pytest.approx(0.7, abs=0.02)
    state = join(network)
    again = build("resnet18", state)
    pictures = drawn_pictures(1, IMAGENET, seed=5)
    with torch.no_grad():
        assert torch.equal(again.backbone(pictures), network.backbone(pictures))
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"][:8]
    with pytest.raises(WeightsError, match="not those of resnet18"):
        build("resnet18", state)


def test_a_wider_network_is_refused_as_before() -> None:
    with pytest.raises(WeightsError, match="not those of resnet18"):
        build(
            "resnet18",
            torchvision.models.resnet18(width_per_group=64, num_classes=3).state_dict()
            | {"layer1.0.conv1.weight": torch.zeros(128, 64, 3, 3)},
        )


def test_what_learns_for_int8_says_what_int8_says_and_comes_back_as_plain_weights() -> None:
    backbone = small()
    pictures = drawn_pictures(4, TINY, seed=7)
    copy_ = rounded(backbone, TINY)
    with torch.no_grad():
        plain, learning, served = (one(pictures) for one in (backbone, copy_.network, quantised(backbone, TINY)))
    torch.testing.assert_close(learning, served, rtol=0, atol=1e-5)
    assert (plain - served).abs().max() > 1e-3, "there is nothing to learn"

    for parameter in copy_.network.parameters():
        assert parameter.requires_grad
        parameter.data.add_(0.01)
    other = copy.deepcopy(backbone)
    copy_.write_back(other)
    copy_.set_ranges()
    with torch.no_grad():
        torch.testing.assert_close(_unrounded(copy_.network)(pictures), other(pictures), rtol=1e-4, atol=1e-4)
    assert not torch.equal(other[0].weight, backbone[0].weight)


def _unrounded(network: nn.Module) -> nn.Module:
    from torch.ao.quantization import FakeQuantize

    for module in network.modules():
        if isinstance(module, FakeQuantize):
            module.enable_fake_quant(False)
    return network


def test_what_was_learned_for_int8_is_what_int8_then_says() -> None:
    """The aim is what another network says; int8 comes nearer to it by what the rounded copy learns."""
    backbone, other = small(), small(seed=1)
    pictures = drawn_pictures(8, TINY, seed=9)
    with torch.no_grad():
        aim = other(pictures)
        before = (quantised(backbone, TINY)(pictures) - aim).square().mean()
    copy_ = rounded(backbone, TINY)
    optimizer = torch.optim.Adam(copy_.network.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (copy_.network(pictures) - aim).square().mean().backward()
        optimizer.step()
    copy_.set_ranges()
    copy_.write_back(backbone)
    with torch.no_grad():
        after = (quantised(backbone, TINY)(pictures) - aim).square().mean()
        learned = (copy_.network(pictures) - aim).square().mean()
    assert after < before / 2
    assert float(after) == pytest.approx(float(learned), rel=0.5)


@pytest.mark.slow
def test_a_pruned_and_fine_tuned_version_is_served_and_its_table_tells_what_it_saved(
    settings: Settings, photos: Path
) -> None:
    options = Options(recipe="full", prune=0.5, qat=True, **QUICK)
    outcome = train(Order(photos, "colours", options), settings.model_copy(update={"torch_threads": 1}))
    assert outcome.smaller is not None
    rows = {(row["name"], row["precision"]): row for row in outcome.smaller["rows"]}
    assert list(rows) == [(name, one) for name in (TAUGHT, PRUNED, ROUNDED) for one in ("float32", "int8")]
    sizes = {key: row["megabytes"] for key, row in rows.items()}
    assert sizes[PRUNED, "float32"] < 0.7 * sizes[TAUGHT, "float32"]
    assert sizes[PRUNED, "int8"] < 0.3 * sizes[PRUNED, "float32"]
    assert "of the size" in outcome.smaller["verdict"]["en"]
    assert len(lines(outcome.smaller)) == 8
    assert (outcome.folder / "network.safetensors").stat().st_size < 32e6
    for precision in ("float32", "int8"):
        manager = ModelManager(settings.model_copy(update={"precision": precision}))
        manager.load()
        mode = manager.mode("colours")
        picture: Tensor = mode.backbone.transform(Image.open(photos / "red" / "3.png"))
        assert manager.predict(picture, "colours").shape == (1, 2)


def test_pruning_and_int8_need_a_recipe_that_changes_the_backbone(settings: Settings, photos: Path) -> None:
    for options in (Options(prune=0.3), Options(qat=True)):
        with pytest.raises(DataError, match="staged or full"):
            train(Order(photos, "colours", options), settings)
