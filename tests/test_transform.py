"""The transform shows the network what torchvision would, on pictures of any shape."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

import app.torchvision_cpu  # noqa: F401 (torchvision cannot be imported without it)
from app.vision.picture import decode
from app.vision.transform import EFFICIENTNET_LITE0, IMAGENET, Transform

SHAPES = [(1, 1), (2, 3), (5, 900), (900, 5), (7, 1), (224, 224), (255, 255), (256, 256), (257, 256), (256, 300)]
SHAPES += [(451, 300), (300, 451), (512, 512), (480, 640), (641, 480), (333, 777), (1000, 333), (810, 1441)]
SHAPES += [(396, 341), (400, 342)]  # to 4/3 of the size exactly, and to 299 columns of which 37.5 fall on either side


@pytest.fixture(scope="module")
def reference():
    """torchvision's own preprocessing for ResNet-18: picture to `[3, 224, 224]`."""
    from torchvision.models import ResNet18_Weights

    return ResNet18_Weights.IMAGENET1K_V1.transforms()


@pytest.fixture(scope="module")
def bicubic_reference():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=224, interpolation=InterpolationMode.BICUBIC)


def grey_levels_apart(ours: torch.Tensor, theirs: torch.Tensor) -> np.ndarray:
    """The absolute difference of two normalised pictures, in steps of 1/255 before normalisation."""
    std = torch.tensor(IMAGENET.std).view(3, 1, 1)
    return ((ours - theirs) * std * 255).abs().numpy()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_photograph_looks_as_torchvision_shows_it(shape, reference, astronaut):
    image = astronaut.resize(shape)
    apart = grey_levels_apart(IMAGENET(image), reference(image))
    # The crop's corners pass through Pillow as 32-bit floats: now and then a value that lies between two is rounded
    # the other way.
    assert apart.max() < 1.001
    assert apart.mean() < 0.1


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if 900 not in shape], ids=str)
def test_noise_which_hides_no_difference_looks_as_torchvision_shows_it(shape, reference, bicubic_reference):
    pixels = np.random.default_rng(5).integers(0, 256, (shape[1], shape[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    apart = grey_levels_apart(IMAGENET(image), reference(image))
    assert apart.max() < 1.001
    assert apart.mean() < 0.1
    apart = grey_levels_apart(Transform(interpolation="bicubic")(image), bicubic_reference(image))
    assert apart.max() < 2.001
    assert apart.mean() < 0.1


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1)], ids=str)
def test_a_thread_of_a_picture_is_not_resized_to_billions_of_pixels(shape):
    assert IMAGENET(Image.new("RGB", shape, (124, 116, 104))).abs().max() < 0.02


def test_a_grey_of_the_mean_becomes_zero_and_white_and_black_the_known_numbers():
    for value in (0, 255):
        tensor = IMAGENET(Image.new("RGB", (300, 300), (value,) * 3))
        expected = (value / 255 - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)
        assert torch.allclose(tensor, expected.view(3, 1, 1).expand(3, 224, 224), atol=1e-5)
    tensor = EFFICIENTNET_LITE0(Image.new("RGB", (300, 300), (255, 127, 0)))
    assert torch.allclose(tensor[:, 0, 0], torch.tensor([1.0, 0.0, -127 / 128]), atol=1e-5)


def test_the_tensor_is_float32_channels_last_and_the_callers_own():
    tensor = IMAGENET(Image.new("RGB", (300, 300)))
    assert tensor.shape == (3, 224, 224)
    assert tensor.dtype == torch.float32
    assert tensor.unsqueeze(0).is_contiguous(memory_format=torch.channels_last)
    tensor.zero_()


def test_other_sizes_follow_the_same_geometry(astronaut):
    from torchvision.transforms._presets import ImageClassification

    theirs = ImageClassification(crop_size=96, resize_size=110)(astronaut.resize((203, 155)))
    assert grey_levels_apart(Transform(resize=110, crop=96)(astronaut.resize((203, 155))), theirs).max() < 1.001


@pytest.mark.parametrize("sizes", [{"crop": 257}, {"crop": 0}, {"resize": 100}])
def test_a_crop_that_does_not_fit_is_refused(sizes):
    with pytest.raises(ValidationError, match="crop must lie within"):
        Transform(**sizes)


@pytest.mark.parametrize("shape", [(2048, 2048), (1357, 1357), (2255, 1503), (1105, 1661)], ids=str)
def test_a_large_jpeg_decoded_small_stays_close_to_the_whole_one(shape, reference, cat, encode):
    data = encode(cat.resize(shape, Image.Resampling.LANCZOS), "JPEG", quality=90)
    small = decode(data, max_pixels=50_000_000, shortest_side=256).image
    assert small.width < shape[0] / 1.9
    apart = grey_levels_apart(IMAGENET(small), reference(Image.open(io.BytesIO(data)).convert("RGB")))
    assert 0 < apart.mean() < 0.5
    assert apart.max() < 8


def test_a_picture_cut_from_a_reduced_one_is_not_taken_for_the_reduced_one(cat, encode):
    data = encode(cat.resize((2255, 1503)), "JPEG")
    small = decode(data, max_pixels=50_000_000, shortest_side=256).image
    part = small.crop((10, 10, 310, 310))
    assert torch.equal(IMAGENET(part), IMAGENET(Image.fromarray(np.asarray(part))))
