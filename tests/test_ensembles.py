"""Several networks as one: the mean of calibrated probabilities, the views, a version on disk, and what is refused."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import scipy.special
import torch
from flask import Flask
from PIL import Image

from app import create_app
from app.config import Settings
from app.errors import ExportError, ModelError
from app.registry.catalog import Entry
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, MemberReference, Title
from app.registry.versions import for_member, write_version
from app.serving.backbone import Backbone
from app.serving.calibration import CALIBRATIONS
from app.serving.ensemble import EnsembleBackbone, EnsembleHead, Member, Planes, parts_of, together
from app.serving.head import LinearHead, NeighbourHead
from app.serving.loading import Loader
from app.serving.manager import ModelManager
from app.serving.mode import Mode
from app.vision.grad_cam import mean_of_maps
from app.vision.transform import EFFICIENTNET_LITE0, IMAGENET, Transform
from tests.conftest import write_head

SMALL = Transform(resize=10, crop=8)
OTHER = Transform(resize=10, crop=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class Toy(Backbone):
    """A backbone whose features are the means of a picture's channels and of its left and upper halves."""

    def __init__(self, name: str, transform: Transform = SMALL, sign: float = 1.0) -> None:
        self.name, self.fingerprint, self.transform, self.precision = name, name, transform, "float32"
        self.width, self.sign, self.seen = 5, sign, list[tuple[int, ...]]()

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(batch.shape))
        side = batch.shape[-1] // 2
        left, top = batch[..., :side].mean((1, 2, 3)), batch[:, :, :side].mean((1, 2, 3))
        return self.sign * torch.cat([batch.mean((2, 3)), left[:, None], top[:, None]], dim=1)


def linear(seed: int, classes: int = 3) -> LinearHead:
    generator = torch.Generator().manual_seed(seed)
    return LinearHead(torch.randn(classes, 5, generator=generator), torch.randn(classes, generator=generator))


def pictures(count: int, channels: int = 3, side: int = 8) -> torch.Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(4))


def mean_by_scipy(members: list[Member], features: list[torch.Tensor]) -> np.ndarray[Any, Any]:
    """The reference: softmax by scipy, weights by hand."""
    return sum(
        member.weight * scipy.special.softmax(member.head.logits(own).numpy() / member.temperature, axis=1)
        for member, own in zip(members, features, strict=True)
    )


def test_the_answer_is_the_weighted_mean_of_calibrated_probabilities() -> None:
    one, other = Toy("one"), Toy("other", OTHER, -2.0)
    members = [Member(one, linear(0), 0.7, 0.2), Member(other, linear(1), 1.9, 0.5), Member(one, linear(2), 1.0, 0.3)]
    backbone, head = together(members)
    batch = pictures(4, channels=6)
    features = backbone.features(batch)
    first, second = one.features(batch[:, :3]), other.features(batch[:, 3:])
    expected = mean_by_scipy(members, [first, second, first])
    np.testing.assert_allclose(torch.softmax(head.logits(features), dim=1), expected, atol=1e-6)
    np.testing.assert_allclose(head.logits(features), np.log(expected), atol=1e-5)
    assert (backbone.name, backbone.width, head.width, head.classes) == ("one+other", 10, 10, 3)


def test_members_on_one_network_share_its_pass_and_those_that_see_alike_share_a_picture() -> None:
    one = Toy("one")
    backbone, _ = together([Member(one, linear(seed), 1.0, 1 / 3) for seed in range(3)])
    backbone.features(pictures(2))
    assert one.seen == [(2, 3, 8, 8)]
    image = Image.effect_noise((40, 30), 50).convert("RGB")
    assert backbone.transform(image).equal(SMALL(image))
    both = together([Member(one, linear(0), 1.0, 0.5), Member(Toy("other", OTHER), linear(1), 1.0, 0.5)])[0]
    assert both.transform(image).equal(torch.cat([SMALL(image), OTHER(image)]))


def test_a_picture_as_the_first_network_takes_it_is_shown_to_the_others_by_their_own_statistics() -> None:
    planes = Planes.of([SMALL, OTHER])
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    first, second = planes.split(SMALL.tensor(pixels).unsqueeze(0))
    torch.testing.assert_close(first[0], SMALL.tensor(pixels))
    torch.testing.assert_close(second[0], OTHER.tensor(pixels), atol=1e-5, rtol=1e-5)


def test_planes_of_different_sizes_come_apart_as_they_were() -> None:
    large = Transform(resize=14, crop=12)
    planes = Planes.of([SMALL, large])
    image = Image.effect_noise((40, 30), 50).convert("RGB")
    first, second = planes.split(planes(image).unsqueeze(0))
    assert first[0].equal(SMALL(image))
    assert second[0].equal(large(image))


def test_flipping_gives_the_mean_of_both_views() -> None:
    one = Toy("one")
    member = Member(one, linear(0), 0.8, 1.0)
    backbone, head = together([member], "flip")
    batch = pictures(3)
    both = [one.features(batch), one.features(batch.flip(-1))]
    expected = (mean_by_scipy([member], both[:1]) + mean_by_scipy([member], both[1:])) / 2
    np.testing.assert_allclose(torch.softmax(head.logits(backbone.features(batch)), dim=1), expected, atol=1e-6)
    mirrored = head.logits(backbone.features(batch.flip(-1)))
    torch.testing.assert_close(mirrored, head.logits(backbone.features(batch)))


def test_crops_are_the_centre_that_serving_sees_and_the_corners_of_the_square() -> None:
    one = Toy("one")
    backbone, head = together([Member(one, linear(0), 1.0, 1.0)], "crops")
    image = Image.effect_noise((40, 40), 50).convert("RGB")
    square = backbone.transform(image)
    assert square.shape == (3, 10, 10)
    assert square[:, 1:9, 1:9].equal(SMALL(image))
    places = [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)]
    views = [one.features(square[None, :, top : top + 8, left : left + 8]) for top, left in places]
    expected = sum(torch.softmax(head.members[0].head.logits(view), dim=1) for view in views) / 5
    answer = torch.softmax(head.logits(backbone.features(square.unsqueeze(0))), dim=1)
    torch.testing.assert_close(answer, cast(torch.Tensor, expected))


def test_the_centre_crop_is_the_served_one_whatever_the_proportions() -> None:
    planes = EnsembleBackbone([Toy("one", IMAGENET)], "crops").transform
    for size in ((500, 333), (301, 517), (256, 256), (700, 413)):
        image = Image.effect_noise(size, 80).convert("RGB")
        apart = (planes(image)[:, 16:240, 16:240] - IMAGENET(image)).abs().max()
        assert apart <= 1.01 / 255 / min(IMAGENET.std), size  # Pillow rounds the corners of what it resizes


def test_what_speaks_for_a_class_is_the_sum_over_the_networks() -> None:
    one, other = Toy("one"), Toy("other", OTHER)
    votes = NeighbourHead(torch.nn.functional.normalize(torch.rand(6, 5), dim=1), torch.arange(6) % 3, 3, 3)
    members = [Member(one, linear(0), 2.0, 0.25), Member(other, votes, 1.0, 0.75)]
    backbone, head = together(members)
    batch = pictures(1, channels=6)
    mode = cast(Mode, SimpleNamespace(backbone=backbone, head=head))
    parts = parts_of(mode, batch[0])
    assert [part.weight for part in parts] == [0.25, 0.75]
    assert [part.backbone for part in parts] == [one, other]
    sums = sum(part.evidence(part.backbone.features(part.picture.unsqueeze(0))) for part in parts)
    torch.testing.assert_close(head.evidence(backbone.features(batch)), cast(torch.Tensor, sums))


def test_maps_of_several_networks_are_a_mean_whose_largest_value_is_255() -> None:
    maps = [torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8)]
    maps[0][0, 0, 0], maps[1][0, 3, 3] = 255, 255
    mean = mean_of_maps(maps, [0.25, 0.75])
    assert mean.shape == (1, 4, 4)
    assert mean[0, 3, 3] == 255
    assert 0 < int(mean[0, 0, 0]) < 128
    assert mean_of_maps(maps[:1], [1.0]) is maps[0]


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="member 2"):
        together([Member(Toy("one"), linear(0), 1.0, 0.5), Member(Toy("other"), linear(1, classes=4), 1.0, 0.5)])


@pytest.fixture(scope="module")
def service(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The whole application on a toy ResNet-18, with the ensemble of it and the packaged EfficientNet-Lite0."""
    settings = Settings(
        resnet18_weights=toy_weights, models_dir=tmp_path_factory.mktemp("models"), torch_threads=2, deadline_s=300
    )
    app = create_app(settings, wait=True)
    app.testing = False
    recogniser = app.extensions["recogniser"]
    assert [mode.key for mode in recogniser.modes()] == ["imagenet"]  # the ensemble delays nothing
    recogniser.manager.load_ensemble()
    yield app
    recogniser.close()
    app.extensions["database"].close()


def manager_of(app: Flask) -> ModelManager:
    manager: ModelManager = app.extensions["recogniser"].manager
    return manager


def settings_of(app: Flask) -> Settings:
    settings: Settings = app.extensions["settings"]
    return settings


def test_the_built_in_ensemble_answers_as_its_two_networks_do(service: Flask, cat_jpeg: bytes) -> None:
    manager = manager_of(service)
    cat = Image.open(io.BytesIO(cat_jpeg)).convert("RGB")
    assert [mode.key for mode in manager.modes()][:2] == ["imagenet", "imagenet-ensemble"]
    ensemble = manager.mode("imagenet-ensemble")
    head = cast(EnsembleHead, ensemble.head)
    assert [member.temperature for member in head.members] == [
        CALIBRATIONS[name].temperature for name in ("resnet18", "efficientnet_lite0")
    ]
    assert head.members[0].backbone is manager.mode("imagenet").backbone
    expected = torch.zeros(1, 1000)
    for member, transform in zip(head.members, (IMAGENET, EFFICIENTNET_LITE0), strict=True):
        logits = member.head.logits(member.backbone.features(transform(cat).unsqueeze(0)))
        expected += torch.softmax(logits / member.temperature, dim=1) / 2
    expected = torch.softmax(expected.log() / ensemble.temperature, dim=1)[0]
    body = service.test_client().post(
        "/predict", data={"file": (io.BytesIO(cat_jpeg), "cat.jpg"), "mode": "imagenet-ensemble", "top_k": "10"}
    ).json  # fmt: skip
    assert body["model"]["name"] == "resnet18+efficientnet_lite0"
    for guess in body["results"][0]["top"]:
        assert guess["confidence"] == pytest.approx(float(expected[guess["index"]]), abs=0.02)


def test_an_ensemble_says_where_it_looked(service: Flask, cat_jpeg: bytes) -> None:
    data = {"file": (io.BytesIO(cat_jpeg), "cat.jpg"), "mode": "imagenet-ensemble", "explain": "1"}
    body = service.test_client().post("/predict", data=data).json
    assert body["results"][0]["explanation"]


def test_the_built_in_ensemble_is_not_offered_where_one_network_is_missing(tmp_path: Path) -> None:
    manager = ModelManager(Settings(models_dir=tmp_path))
    manager.load()  # EfficientNet-Lite0 alone
    manager.load_ensemble()
    assert [mode.key for mode in manager.modes()] == ["imagenet"]


def test_its_name_is_nobody_else_s(service: Flask) -> None:
    models = settings_of(service).models_dir
    (models / "imagenet-ensemble").mkdir()
    try:
        manager_of(service).refresh()
        assert manager_of(service).mode("imagenet-ensemble").head.classes == 1000
    finally:
        (models / "imagenet-ensemble").rmdir()


def manifest_of(mode: Mode, version: str, members: list[MemberReference], **values: Any) -> Manifest:
    return Manifest(
        mode="pets",
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en="Pets", zh="宠物"),
        labels=[ManifestLabel(label=name) for name in ("cat", "dog")],
        backbone=BackboneReference(name="both", fingerprint="of both"),
        threshold=0.3,
        members=members,
        **values,
    )


def reference(backbone: Backbone, weight: float, temperature: float) -> MemberReference:
    return MemberReference(
        source="pets@v9",
        weight=weight,
        backbone=BackboneReference(name=backbone.name, fingerprint=backbone.fingerprint),
        transform=backbone.transform,
        temperature=temperature,
    )


def tensors_for(backbones: list[Backbone]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for number, backbone in enumerate(backbones):
        generator = torch.Generator().manual_seed(number)
        head = {"weight": torch.randn(2, backbone.width, generator=generator) / 9, "bias": torch.zeros(2)}
        tensors |= for_member(head, number)
    return tensors


def test_a_version_that_is_an_ensemble_comes_into_service_while_serving(service: Flask, cat: Image.Image) -> None:
    manager, settings = manager_of(service), settings_of(service)
    base = cast(EnsembleBackbone, manager.mode("imagenet-ensemble").backbone)
    backbones: list[Backbone] = list(base.backbones)
    weights, temperatures = (0.25, 0.75), (2.0, 0.5)
    members = [reference(*one) for one in zip(backbones, weights, temperatures, strict=True)]
    tensors = tensors_for(backbones)
    write_version(settings.models_dir, manifest_of(manager.mode("imagenet"), "v1", members), tensors)
    manager.refresh()
    mode = manager.mode("pets")
    assert list(cast(EnsembleBackbone, mode.backbone).backbones) == backbones  # shared, not loaded again
    answer = mode.probabilities(mode.backbone.features(mode.backbone.transform(cat).unsqueeze(0)))[0]
    expected = sum(
        weight * scipy.special.softmax(
            (one.features(one.transform(cat).unsqueeze(0)) @ tensors[f"{number}.weight"].T)[0].numpy() / temperature
        )
        for number, (one, weight, temperature) in enumerate(zip(backbones, weights, temperatures, strict=True))
    )  # fmt: skip
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    flipped = write_version(
        settings.models_dir, manifest_of(manager.mode("imagenet"), "v2", members, views="flip"), tensors
    )
    twice = Loader(settings).version(Entry("pets", flipped))
    assert twice.backbone.width == 2 * mode.backbone.width


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop("1.bias"), "no weight or no bias"),
        (lambda tensors: tensors.update({"1.weight": torch.zeros(2, 7)}), "member 2"),
        (lambda tensors: tensors.update({"0.weight": torch.full((2, 512), torch.nan)}), "not finite"),
    ],
)
def test_a_damaged_ensemble_is_refused(service: Flask, tmp_path: Path, change: Any, reason: str) -> None:
    manager = manager_of(service)
    backbones = list(cast(EnsembleBackbone, manager.mode("imagenet-ensemble").backbone).backbones)
    tensors = tensors_for(backbones)
    change(tensors)
    members = [reference(one, 0.5, 1.0) for one in backbones]
    folder = write_version(tmp_path, manifest_of(manager.mode("imagenet"), "v1", members), tensors)
    with pytest.raises(ModelError, match=reason):
        manager._loader.version(Entry("pets", folder))


def test_weights_that_are_no_shares_are_refused(service: Flask) -> None:
    backbone = manager_of(service).mode("imagenet").backbone
    with pytest.raises(ValueError, match="sum to 1"):
        manifest_of(manager_of(service).mode("imagenet"), "v1", [reference(backbone, 0.7, 1.0)])


def test_an_ensemble_is_not_exported_as_one_network(service: Flask, tmp_path: Path) -> None:
    from app.export.export import Order, export

    with pytest.raises(ExportError, match="teacher"):
        export(Order("imagenet-ensemble", "torchscript", tmp_path / "out"), settings_of(service))


def test_the_manifest_of_any_other_version_is_what_it_was(service: Flask) -> None:
    folder = write_head(settings_of(service).models_dir, "birds", manager_of(service).mode("imagenet"), ["owl", "kite"])
    manifest = Manifest.model_validate(
        {key: value for key, value in json.loads((folder / "manifest.json").read_text()).items()
         if key not in ("members", "views")}
    )  # fmt: skip
    assert manifest.members == []
    assert manifest.views == "plain"
