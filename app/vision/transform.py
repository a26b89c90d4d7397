"""From an upright RGB picture to the tensor that a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, model_validator

if TYPE_CHECKING:
    from torch import Tensor

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""uint8 `[height, width, 3]`."""

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

EXTENT = "extent"
"""Key in a picture's `info`: the (width, height) it shows, where that ends within the last column or row.

A JPEG of 1001 x 999 decoded at 1/2 has 501 x 500 pixels and shows 500.5 x 499.5. Stretched to 501 x 500, what the
network sees would move by up to a fifth of a pixel, and its probabilities by up to 0.07 instead of 0.015.
"""


class Transform(BaseModel):
    """Resize the shorter side to `resize`, crop the centre to `crop`, scale to 0…1, subtract `mean`, divide by `std`.

    The numbers travel in a mode's manifest, so that serving repeats what training saw. Equal to torchvision's
    `ImageClassification` preset on a PIL picture, which the tests use as the reference.
    """

    model_config = ConfigDict(frozen=True)

    resize: int = 256
    crop: int = 224
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if not 0 < self.crop <= self.resize:
            raise ValueError("the crop must lie within what was resized")
        return self

    def pixels(self, image: Image.Image) -> Pixels:
        """The crop of a picture (mode RGB) as uint8 `[crop, crop, 3]`, read-only: only what it shows is resized."""
        width, height = _extent(image)
        new_width, new_height, left, top = self._place(width, height)
        columns = (left * width / new_width, (left + self.crop) * width / new_width)
        rows = (top * height / new_height, (top + self.crop) * height / new_height)
        # Pillow rounds between its two passes. The whole picture's proportions decide which comes first, the crop's
        # would decide otherwise: one call for both would leave a quarter of the values of a portrait off by one.
        if height - new_height > max(0, 2 * (width - new_width)):
            return np.asarray(self._squeeze_columns(self._squeeze_rows(image, rows), columns))
        return np.asarray(self._squeeze_rows(self._squeeze_columns(image, columns), rows))

    def region(self, width: float, height: float) -> tuple[float, float, float, float]:
        """The part that the crop shows of a picture: left, top, width and height, as shares of the picture's sides."""
        new_width, new_height, left, top = self._place(width, height)
        return left / new_width, top / new_height, self.crop / new_width, self.crop / new_height

    def _place(self, width: float, height: float) -> tuple[int, int, int, int]:
        """Width and height of a picture once it is resized, and the crop's left and top in it."""
        if width < height:
            new_width, new_height = self.resize, int(self.resize * height / width)
        else:
            new_width, new_height = int(self.resize * width / height), self.resize
        return new_width, new_height, round((new_width - self.crop) / 2), round((new_height - self.crop) / 2)

    def _squeeze_columns(self, image: Image.Image, columns: tuple[float, float]) -> Image.Image:
        """Resize the given span of columns to `crop` columns; the height stays."""
        box = (columns[0], 0, columns[1], image.height)
        return image.resize((self.crop, image.height), _RESAMPLING[self.interpolation], box)

    def _squeeze_rows(self, image: Image.Image, rows: tuple[float, float]) -> Image.Image:
        """Resize the given span of rows to `crop` rows; the width stays."""
        box = (0, rows[0], image.width, rows[1])
        return image.resize((image.width, self.crop), _RESAMPLING[self.interpolation], box)

    def __call__(self, image: Image.Image) -> Tensor:
        """The picture (mode RGB) as float32 `[3, crop, crop]`, laid out channels-last."""
        return self.joined([part.pixels(image) for part in self.parts])

    @property
    def parts(self) -> tuple[Transform, ...]:
        """Those by which a picture becomes pixels: this one; of several networks, each one's."""
        return (self,)

    def joined(self, pixels: Sequence[Pixels]) -> Tensor:
        """What `__call__` makes, of what the `parts` made of the picture."""
        return self.tensor(pixels[0])

    def tensor(self, pixels: Pixels) -> Tensor:
        """uint8 `[height, width, 3]` as normalised float32 `[3, height, width]`, laid out channels-last."""
        # NumPy rather than torch, whose thread pool takes longer to wake than this takes; whole rows at a time rather
        # than three channels, which is five times as fast.
        import torch  # here, for the process that decodes needs the pixels only

        height, width, _ = pixels.shape
        offset = np.tile(np.float32(255) * np.asarray(self.mean, np.float32), width)
        scale = np.tile(np.float32(255) * np.asarray(self.std, np.float32), width)
        values = (pixels.reshape(height, -1) - offset) / scale
        return torch.from_numpy(values.reshape(height, width, 3)).permute(2, 0, 1)

    def shown_to(self, other: Transform, batch: Tensor) -> Tensor:
        """Pictures `[n, 3, h, w]` that this made, as near as may be to what `other` would have made of the same."""
        from torch.nn import functional

        pixels = batch * _three(self.std) + _three(self.mean)
        if batch.shape[2:] != (other.crop, other.crop):
            size = (other.crop, other.crop)
            pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        return (pixels - _three(other.mean)) / _three(other.std)


def _three(values: tuple[float, float, float]) -> Tensor:
    import torch

    return torch.tensor(values).view(3, 1, 1)


def _extent(image: Image.Image) -> tuple[float, float]:
    width, height = image.info.get(EXTENT, image.size)
    # A picture derived from the decoded one may have inherited the entry.
    return (width, height) if (ceil(width), ceil(height)) == image.size else image.size


IMAGENET = Transform()
"""What torchvision's ResNet-18 was trained on."""

EFFICIENTNET_LITE0 = Transform(interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""`(x * 255 - 127) / 128`, as the packaged EfficientNet-Lite0 expects."""
