"""Grad-CAM, against class activation maps computed from torchvision's own modules, and against what is in a picture."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from app.config import Settings
from app.serving.head import LinearHead, NeighbourHead
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.vision.efficientnet_lite0 import EfficientNetLite0
from app.vision.grad_cam import grad_cam
from app.vision.networks import build
from app.vision.transform import IMAGENET, Transform

# isort: split
import torchvision

CASES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "resnet18": lambda network: network.layer4,
    "resnet50": lambda network: network.layer4,
    "mobilenet_v2": lambda network: network.features,
    "shufflenet_v2_x1_0": lambda network: network.conv5,
}
"""Networks that end in an average over the map and one linear layer, and the module that gives the map."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(network: nn.Module) -> nn.Module:
    """The network with batch statistics that are not the trivial ones, and a head of some strength."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0, 0.1)
    return network.eval()


def noise(seed: int = 0) -> Tensor:
    return torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(seed))


def activation_map(features: Tensor, weight: Tensor) -> Tensor:
    """Zhou et al. 2016: the maps `[channels, h, w]` summed by a class's weights `[channels]`; what speaks for it."""
    summed = (weight[:, None, None] * features).sum(0).clamp(min=0)
    return summed / summed.max() * 255


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_the_class_activation_map_where_a_network_ends_in_an_average_and_one_layer(name: str) -> None:
    torch.manual_seed(3)
    network = seeded(torchvision.models.get_model(name, weights=None, num_classes=20))
    maps: list[Tensor] = []
    CASES[name](network).register_forward_hook(lambda module, inputs, output: maps.append(output[0].detach()))
    with torch.no_grad():
        top = network(noise()[None])[0].topk(3).indices.tolist()
    split = build(name, network.state_dict())
    ours = grad_cam(split.backbone, LinearHead(split.weight, split.bias).evidence, noise(), top)
    assert ours.shape == (3, *maps[0].shape[1:])
    for index, mine in zip(top, ours, strict=True):
        expected = activation_map(maps[0], split.weight[index])
        assert (mine.float() - expected).abs().max() <= 1
        assert mine.max() == 255


def test_a_last_step_that_is_no_module_counts_too() -> None:
    torch.manual_seed(3)
    network = seeded(EfficientNetLite0())
    inputs: list[Tensor] = []
    network._bn1.register_forward_hook(lambda module, given, output: inputs.append(output[0].detach()))
    with torch.no_grad():
        top = int(network(noise()[None]).argmax())
    split = build("efficientnet_lite0", network.state_dict())
    ours = grad_cam(split.backbone, LinearHead(split.weight, split.bias).evidence, noise(), [top])
    expected = activation_map(inputs[0].clamp(0, 6), split.weight[top])
    assert (ours[0].float() - expected).abs().max() <= 1


def test_nothing_that_speaks_for_a_class_is_a_map_of_zeros() -> None:
    network = build("resnet18", torchvision.models.resnet18(num_classes=2).state_dict())
    against = LinearHead(torch.stack([torch.full((512,), -1.0), torch.zeros(512)]), torch.zeros(2))
    assert grad_cam(network.backbone, against.evidence, noise(), [0, 1]).sum() == 0


@pytest.mark.parametrize("name", ["densenet121", "vgg11", "convnext_tiny", "swin_t", "googlenet", "regnet_y_400mf"])
def test_other_networks_give_a_map_of_their_last_squares(name: str) -> None:
    torch.manual_seed(0)
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=3, **options).eval()
    path, last = [(path, one) for path, one in network.named_modules() if isinstance(one, nn.Linear)][-1]
    network.set_submodule(path, nn.Identity())
    maps = grad_cam(network, LinearHead(last.weight.detach(), last.bias.detach()).evidence, noise(), [0, 1, 2])
    assert maps.shape == (3, 7, 7)
    assert maps.amax() == 255


def test_photos_by_heart_speak_by_the_nearest_of_each_class() -> None:
    generator = torch.Generator().manual_seed(0)
    photos = functional.normalize(torch.randn(12, 16, generator=generator), dim=1)
    labels = torch.arange(12) % 3
    head = NeighbourHead(photos, labels, k=3, classes=4)
    features = torch.randn(5, 16, generator=generator)
    evidence = head.evidence(features)
    alike = functional.normalize(features, dim=1) @ photos.T
    for index in range(3):
        assert torch.allclose(evidence[:, index], alike[:, labels == index].amax(1))
    assert not evidence[:, 3].any(), "a class without a photo"
    assert head.evidence(features.requires_grad_()).requires_grad


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Mode:
    """The packaged network, as it is served."""
    models = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(models))
        return Loader(Settings(models_dir=models)).base()


def in_a_corner(cat: Image.Image, right: bool, low: bool) -> Image.Image:
    """The cat's face in one quadrant of a grey picture."""
    picture = Image.new("RGB", (512, 512), (128, 128, 128))
    face = cat.crop((80, 0, 380, 300)).resize((200, 200))
    picture.paste(face, (268 if right else 44, 268 if low else 44))
    return picture


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("kind", ["linear", "neighbours"])
def test_the_heat_lies_on_the_thing(lite0: Mode, cat: Image.Image, right: bool, low: bool, kind: str) -> None:
    transform = lite0.backbone.transform
    assert lite0.backbone.read_again is not None
    picture = transform(in_a_corner(cat, right, low))
    index, evidence = 285, lite0.head.evidence
    if kind == "neighbours":
        by_heart = torch.stack([transform(cat), transform(Image.new("RGB", (256, 256), (128, 128, 128)))])
        photos = functional.normalize(lite0.backbone.features(by_heart), dim=1)
        index, evidence = 0, NeighbourHead(photos, torch.arange(2), k=1, classes=2).evidence
    heat = grad_cam(lite0.backbone.read_again(), evidence, picture, [index])[0].float()
    half = (heat.shape[0] + 1) // 2
    rows = slice(half - 1, None) if low else slice(None, half)
    columns = slice(half - 1, None) if right else slice(None, half)
    assert heat[rows, columns].sum() / heat.sum() > 0.8


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (256, 256), (1001, 999), (4000, 300)])
def test_the_region_is_what_the_crop_shows(size: tuple[int, int]) -> None:
    """A picture whose red grows to the right and whose green grows downward tells where its crop was taken."""
    width, height = size
    red = Image.linear_gradient("L").rotate(90).resize(size)
    green = Image.linear_gradient("L").resize(size)
    pixels = Transform(resize=256, crop=224).pixels(Image.merge("RGB", (red, green, Image.new("L", size)))) / 255.0
    x, y, across, down = IMAGENET.region(width, height)
    assert pixels[:, 2, 0].mean() == pytest.approx(x, abs=0.02)
    assert pixels[:, -3, 0].mean() == pytest.approx(x + across, abs=0.02)
    assert pixels[2, :, 1].mean() == pytest.approx(y, abs=0.02)
    assert pixels[-3, :, 1].mean() == pytest.approx(y + down, abs=0.02)
    assert 0 <= x <= x + across <= 1
    assert 0 <= y <= y + down <= 1


def test_the_picture_s_gradients_and_the_network_are_left_alone(lite0: Mode, cat: Image.Image) -> None:
    assert lite0.backbone.read_again is not None
    network, picture = lite0.backbone.read_again(), lite0.backbone.transform(cat)
    before = picture.clone()
    first = grad_cam(network, lite0.head.evidence, picture, [285])
    with torch.no_grad():
        assert torch.equal(first, grad_cam(network, lite0.head.evidence, picture, [285])), "whoever asks"
    assert torch.equal(picture, before)
    assert not picture.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_is_read_again_is_what_is_served(lite0: Mode, cat: Image.Image, tmp_path: Path) -> None:
    assert lite0.backbone.read_again is not None
    picture = lite0.backbone.transform(cat)[None]
    with torch.no_grad():
        plain = lite0.backbone.read_again()(picture)
    assert torch.allclose(plain, lite0.backbone.features(picture), atol=1e-3)
