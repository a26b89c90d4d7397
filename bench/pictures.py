"""The two pictures of the benchmark, made from a photograph that comes with scikit-image."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data


def small(path: Path) -> None:
    """A picture from the web: 500 x 375."""
    _coffee().resize((500, 375), Image.Resampling.LANCZOS).save(path, quality=85)


def large(path: Path) -> None:
    """A phone's 12 megapixels: enlarged, with a sensor's grain, so that the file has a photograph's size."""
    pixels = np.asarray(_coffee().resize((4000, 3000), Image.Resampling.LANCZOS), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 5, pixels.shape[:2])[..., np.newaxis]
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)


def _coffee() -> Image.Image:
    """A cup of coffee, 600 x 400, cut to 4:3."""
    return Image.fromarray(data.coffee()).crop((33, 0, 566, 400))
