"""Random views of a training photo, by the name of a preset."""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image
from torch import Tensor, nn

import app.torchvision_light  # noqa: F401 - before torchvision
from app.errors import DataError
from app.vision.transform import Transform

# isort: split
from torchvision.transforms import InterpolationMode, v2

PRESETS = ("none", "light", "standard", "strong", "industrial")

View = Callable[[Image.Image], Tensor]


def augmentation(preset: str, transform: Transform) -> View:
    """A function from an upright RGB picture to one random view: normalised float32 `[3, crop, crop]`.

    - `none`: `transform` itself, what serving sees.
    - `light`: a crop of at least a quarter of the picture, mirrored or not.
    - `standard`: the same, in slightly other light.
    - `strong`: a crop of at least a tenth, mirrored or not, one of 14 distortions of any strength (TrivialAugment,
      Müller and Hutter 2021), and in one view of four a piece is blanked out (Random Erasing, Zhong et al. 2017).
    - `industrial`: for a fixed camera over parts: mirrored, turned by a few degrees, moved and scaled a little, with
      nothing cut away beyond what `transform` cuts, and the colours untouched, since colour may be the defect.

    Draws from torch's global generator: views repeat under the same seed when made in one thread.

    Raises:
        DataError: `preset` is not one of PRESETS.
    """
    if preset not in PRESETS:
        raise DataError(f"There is no augmentation {preset!r}: choose among {', '.join(PRESETS)}.")
    return transform if preset == "none" else _RandomView(preset, transform)


class _RandomView:
    """Distorts the picture, normalises it as serving does, and may then erase a piece."""

    def __init__(self, preset: str, transform: Transform) -> None:
        self._distort = v2.Compose(_BUILDERS[preset](transform))
        self._erase = v2.RandomErasing(p=0.25) if preset == "strong" else nn.Identity()
        self._transform = transform

    def __call__(self, image: Image.Image) -> Tensor:
        erased: Tensor = self._erase(self._transform.tensor(np.asarray(self._distort(image))))
        return erased


def _crop(transform: Transform, smallest: float) -> v2.RandomResizedCrop:
    """A crop of `smallest` to all of the picture's area, as for ImageNet itself (Szegedy et al. 2014)."""
    mode = InterpolationMode(transform.interpolation)
    return v2.RandomResizedCrop(transform.crop, scale=(smallest, 1.0), interpolation=mode)


def _light(transform: Transform) -> list[nn.Module]:
    return [_crop(transform, 0.25), v2.RandomHorizontalFlip()]


def _standard(transform: Transform) -> list[nn.Module]:
    return [*_light(transform), v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)]


def _strong(transform: Transform) -> list[nn.Module]:
    distortions = v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    return [_crop(transform, 0.1), v2.RandomHorizontalFlip(), distortions]


def _industrial(transform: Transform) -> list[nn.Module]:
    mode = InterpolationMode(transform.interpolation)
    return [
        v2.Resize(transform.resize, interpolation=mode),
        v2.CenterCrop(transform.resize),
        # What a turn brings in from outside is the picture's own edge, mirrored: no black corners to learn from.
        v2.Pad(transform.resize // 8, padding_mode="reflect"),
        v2.RandomAffine(
            degrees=8, translate=(0.03, 0.03), scale=(0.95, 1.05), interpolation=InterpolationMode.BILINEAR
        ),
        v2.CenterCrop(transform.crop),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
    ]


_BUILDERS: Mapping[str, Callable[[Transform], list[nn.Module]]] = {
    "light": _light,
    "standard": _standard,
    "strong": _strong,
    "industrial": _industrial,
}
