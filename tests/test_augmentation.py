"""Random views of a photo: right in shape and scale, as wild as their preset says, and repeatable."""

from collections.abc import Iterator

import pytest
import torch
from PIL import Image
from torch import Tensor

from app.errors import DataError
from app.training.augmentation import PRESETS, augmentation
from app.vision.transform import EFFICIENTNET_LITE0, IMAGENET, Transform

SMALL = Transform(resize=64, crop=56)
RANDOM = [preset for preset in PRESETS if preset != "none"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A view is too little work for two threads, which on a busy machine wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def views(preset: str, image: Image.Image, count: int, transform: Transform = SMALL, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    view = augmentation(preset, transform)
    return [view(image) for _ in range(count)]


def levels(view: Tensor, transform: Transform = SMALL) -> Tensor:
    """A view's pixels on the scale 0…255, `[3, crop, crop]`."""
    std, mean = torch.tensor(transform.std).view(3, 1, 1), torch.tensor(transform.mean).view(3, 1, 1)
    return (view * std + mean) * 255


def test_none_is_what_serving_sees(cat: Image.Image) -> None:
    for transform in (IMAGENET, EFFICIENTNET_LITE0):
        assert torch.equal(augmentation("none", transform)(cat), transform(cat))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("transform", [IMAGENET, EFFICIENTNET_LITE0, SMALL])
def test_every_view_fits_the_network(cat: Image.Image, preset: str, transform: Transform) -> None:
    for view in views(preset, cat, 4, transform):
        assert (view.shape, view.dtype) == ((3, transform.crop, transform.crop), torch.float32)
        pixels = levels(view, transform)
        assert pixels.min() > -0.01
        assert pixels.max() < 255.01


@pytest.mark.parametrize("preset", RANDOM)
@pytest.mark.parametrize("size", [(40, 3), (3, 40), (1, 1), (900, 100)])
def test_odd_sizes_have_views_too(preset: str, size: tuple[int, int]) -> None:
    for view in views(preset, Image.new("RGB", size, (9, 99, 199)), 3):
        assert view.shape == (3, 56, 56)


@pytest.mark.parametrize("preset", RANDOM)
def test_views_differ_and_a_seed_repeats_them(cat: Image.Image, preset: str) -> None:
    first, again, other = views(preset, cat, 4), views(preset, cat, 4), views(preset, cat, 4, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(("preset", "keeps"), [("light", True), ("industrial", True), ("standard", False)])
@pytest.mark.parametrize("size", [(300, 300), (640, 200), (200, 640)])
def test_geometry_alone_leaves_a_colour_exactly_as_it_is(preset: str, keeps: bool, size: tuple[int, int]) -> None:
    # One colour everywhere: a change of colour shows, and so does anything that a turn brings in from outside.
    plain = torch.tensor([200.0, 90.0, 40.0]).view(3, 1, 1)
    image = Image.new("RGB", size, (200, 90, 40))
    seen = views(preset, image, 20, IMAGENET)
    assert all(((levels(view, IMAGENET) - plain).abs().max() < 0.01) == keeps for view in seen)


@pytest.mark.parametrize("preset", ["light", "standard", "strong", "industrial"])
def test_views_are_mirrored_about_half_the_time(preset: str) -> None:
    # Red on the left, blue on the right.
    image = Image.new("RGB", (256, 256), (230, 20, 20))
    image.paste((20, 20, 230), (128, 0, 256, 256))
    seen = views(preset, image, 100)
    mirrored = sum(bool(view[0, :, :28].mean() < view[0, :, 28:].mean()) for view in seen)
    assert 25 < mirrored < 75


def test_only_industrial_turns_a_photo_upside_down() -> None:
    image = Image.new("RGB", (256, 256), (230, 230, 230))
    image.paste((20, 20, 20), (0, 128, 256, 256))

    def turned(preset: str) -> int:
        return sum(bool(view[:, :28].mean() < view[:, 28:].mean() - 0.2) for view in views(preset, image, 100))

    assert turned("light") == turned("standard") == 0
    assert 25 < turned("industrial") < 75


def test_stronger_presets_change_more(cat: Image.Image) -> None:
    plain = SMALL(cat)

    def change(preset: str) -> float:
        return sum(float((view - plain).square().mean()) for view in views(preset, cat, 60)) / 60

    assert 0 < change("light") < change("standard") < change("strong")


def test_strong_blanks_a_piece_out_in_a_quarter_of_the_views() -> None:
    # A blanked piece is 0 after normalisation in all three planes; no solid white distortion makes that.
    seen = views("strong", Image.new("RGB", (256, 256), "white"), 200)
    blanked = sum(bool((view == 0).all(0).float().mean() > 0.015) for view in seen)
    assert 25 < blanked < 75


def test_an_unknown_preset_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(DataError, match=r"'wild'.*none, light, standard, strong, industrial"):
        augmentation("wild", IMAGENET)
