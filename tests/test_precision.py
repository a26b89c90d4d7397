"""Lower precisions: as good as float32 on real photographs, or refused in favour of it."""

import csv
import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from app.config import Settings
from app.serving import compile as compiling
from app.serving.compile import compile_backbone
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.quantisation import drawn_pictures, quantised
from app.vision.picture import decode
from app.vision.transform import IMAGENET


def base(precision: str, weights: Path | None, models: Path) -> Mode:
    return Loader(Settings(resnet18_weights=weights, models_dir=models, precision=precision)).base()


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "least"), [("int8", 0.95), ("bfloat16", 0.98)])
def test_top_1_agrees_with_float32_on_the_shared_photographs_and_is_as_often_right(
    precision: str, least: float, shared: Path, resnet18_weights: Path, tmp_path: Path
) -> None:
    with (shared / "photos" / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    modes = [base(name, resnet18_weights, tmp_path) for name in ("float32", precision)]
    assert modes[1].model.precision == precision
    pictures = [
        IMAGENET(decode((shared / "photos" / row["path"]).read_bytes(), max_pixels=10**8, shortest_side=256).image)
        for row in rows
    ]
    truth = torch.tensor([int(row["class_index"]) for row in rows])
    faithful, lower = (
        torch.cat([mode.probabilities(mode.backbone.features(part)) for part in torch.stack(pictures).split(8)])
        for mode in modes
    )
    agreement = float((faithful.argmax(1) == lower.argmax(1)).float().mean())
    accuracies = [float((one.argmax(1) == truth).float().mean()) for one in (faithful, lower)]
    print(f"\n{precision}: agrees on {agreement:.1%}; right {accuracies[1]:.1%}, float32 {accuracies[0]:.1%}")
    assert agreement >= least
    assert accuracies[1] >= accuracies[0] - 0.01


def test_int8_is_served_under_its_name_with_float_features(toy_weights: Path, tmp_path: Path) -> None:
    mode = base("int8", toy_weights, tmp_path)
    assert mode.model.precision == "int8"
    pictures = drawn_pictures(3, IMAGENET, seed=5)
    features = mode.backbone.features(pictures)
    expected = base("float32", toy_weights, tmp_path).backbone.features(pictures)
    assert features.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(features, expected).min() > 0.99
    assert not torch.equal(features, expected), "float32 answered"


def test_weights_are_int8_for_each_channel_and_layers_are_fused() -> None:
    network = quantised(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval(), IMAGENET)
    layer = network.get_submodule("0")
    assert type(layer).__name__ == "ConvReLU2d"
    assert (layer.weight().dtype, layer.weight().qscheme()) == (torch.qint8, torch.per_channel_affine)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_network_that_int8_harms_is_served_in_float32_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        mode = base("int8", None, tmp_path)  # EfficientNet-Lite0
    assert mode.model.precision == "float32"
    assert "int8 disagrees with float32" in caplog.text


def test_a_network_that_cannot_be_quantised_is_served_in_float32_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Branching(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            means = picture.mean((2, 3))
            return means if bool(means.sum() > 0) else -means

    forward, precision = compile_backbone(Branching().eval(), IMAGENET, "int8")
    assert precision == "float32"
    assert "int8 is not to be had" in caplog.text
    assert forward(torch.ones(1, 3, 224, 224)).shape == (1, 3)


def test_a_lower_precision_that_disagrees_is_not_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    monkeypatch.setattr(compiling, "_lower", lambda *_: lambda batch: -backbone(batch))
    assert compile_backbone(backbone, IMAGENET, "bfloat16")[1] == "float32"
    assert "bfloat16 disagrees with float32" in caplog.text


def test_drawn_pictures_are_the_same_on_every_machine_and_fall_off_as_photographs_do() -> None:
    pictures = drawn_pictures(2, IMAGENET, seed=3)
    assert torch.equal(pictures, drawn_pictures(2, IMAGENET, seed=3))
    power = torch.fft.rfft2(pictures[:, 1]).abs().square().mean((0, 1))
    assert power[1:8].mean() > 20 * power[60:110].mean()
