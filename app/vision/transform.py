"""From an upright RGB picture to the tensor that a network was trained on."""

from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


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

    def pixels(self, image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The crop as uint8 `[crop, crop, 3]`: only what the crop shows is ever resized."""
        width, height = image.size
        if width < height:
            new_width, new_height = self.resize, int(self.resize * height / width)
        else:
            new_width, new_height = int(self.resize * width / height), self.resize
        left, top = round((new_width - self.crop) / 2), round((new_height - self.crop) / 2)
        box = (
            left * width / new_width,
            top * height / new_height,
            (left + self.crop) * width / new_width,
            (top + self.crop) * height / new_height,
        )
        return np.asarray(image.resize((self.crop, self.crop), _RESAMPLING[self.interpolation], box=box))

    def __call__(self, image: Image.Image) -> Tensor:
        """The picture (mode RGB) as float32 `[3, crop, crop]`, laid out channels-last."""
        return self.tensor(self.pixels(image))

    def tensor(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
        """uint8 `[height, width, 3]` as normalised float32 `[3, height, width]`, laid out channels-last."""
        planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        scale = torch.tensor(self.std).mul(255).view(3, 1, 1)
        offset = torch.tensor(self.mean).mul(255).view(3, 1, 1)
        return planes.float().sub_(offset).div_(scale)


IMAGENET = Transform()
"""What torchvision's ResNet-18 was trained on."""

EFFICIENTNET_LITE0 = Transform(interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""`(x * 255 - 127) / 128`, as the packaged EfficientNet-Lite0 expects."""
