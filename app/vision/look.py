"""What a picture looks like, in 32 bytes that stay almost the same when it is saved again, scaled, or brightened."""

from typing import Any

import numpy as np
from PIL import Image

HASH_SIDE = 16
HASH_PIXELS = 4 * HASH_SIDE
"""The hash is taken from so many pixels a side: a large JPEG need not be decoded in full for it."""
MOST_BITS = 32
"""Of 256: two pictures that differ in more are different. Measured, see app/photos/duplicates.py."""
FLAT = 4.0
"""Of 255: a picture whose pixels vary less (standard deviation) has nothing that a hash could tell apart."""

Bits = np.ndarray[Any, np.dtype[np.uint64]]
_FREQUENCIES = np.arange(HASH_SIDE)[:, None] * (np.arange(HASH_PIXELS) + 0.5)
_COSINES = np.cos(np.pi / HASH_PIXELS * _FREQUENCIES)
"""The low frequencies of a DCT-II."""


def perceptual_hash(image: Image.Image) -> Bits:
    """The perceptual hash of 256 bits, uint64 `[4]`: what `imagehash.phash(image, 16)` says, without scipy."""
    low = _COSINES @ _grey(image) @ _COSINES.T
    return np.packbits(low > np.median(low)).view(np.uint64)


def is_flat(image: Image.Image) -> bool:
    """Whether a picture has nothing in it that could be told apart."""
    return bool(_grey(image).std() < FLAT)


def _grey(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(image.convert("L").resize((HASH_PIXELS, HASH_PIXELS), Image.Resampling.LANCZOS), np.float64)
