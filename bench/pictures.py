"""The pictures of the benchmarks, drawn from one photograph that comes with scikit-image."""

import math
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data


def small(path: Path) -> None:
    """A picture from the web: 500 x 375."""
    _coffee().resize((500, 375), Image.Resampling.LANCZOS).save(path, quality=85)


def large(path: Path) -> None:
    """A phone's 12 megapixels."""
    of_size(path, 12)


def of_size(path: Path, megapixels: float) -> None:
    """A 4:3 picture of about so many: enlarged, with a sensor's grain, so that the file has a photograph's size."""
    unit = math.sqrt(megapixels * 1e6 / 12)
    _grained(_coffee().resize((round(4 * unit), round(3 * unit)), Image.Resampling.LANCZOS), seed=0).save(
        path, quality=85
    )


def many(folder: Path, count: int) -> None:
    """A folder of pictures of 640 x 480, no two alike: views of the same table."""
    generator = np.random.default_rng(0)
    coffee = _coffee()
    for number in range(count):
        width = generator.uniform(0.5, 1) * coffee.width
        left = generator.uniform(0, coffee.width - width)
        top = generator.uniform(0, coffee.height - width * 3 / 4)
        view = coffee.resize((640, 480), box=(left, top, left + width, top + width * 3 / 4))
        _grained(view, seed=number).save(folder / f"{number:04d}.jpg", quality=85)


def _grained(picture: Image.Image, seed: int) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32)
    grain = np.random.default_rng(seed).normal(0, 5, pixels.shape[:2])[..., np.newaxis]
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))


def _coffee() -> Image.Image:
    """A cup of coffee, 600 x 400, cut to 4:3."""
    return Image.fromarray(data.coffee()).crop((33, 0, 566, 400))  # type: ignore[no-untyped-call]
