"""A picture as it is kept on the disk: small, upright, with nothing in it but pixels."""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from app.vision.decoders import decode
from app.vision.look import is_flat, perceptual_hash

LONGEST = 1024
"""Pixels of the longer side at most: four times what a network looks at."""
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture ready to be kept: its JPEG, the SHA-256 of it, what it looks like, and its sides in pixels."""

    jpeg: bytes
    sha256: str
    look: str
    width: int
    height: int


def prepare(data: bytes, max_pixels: int) -> Kept:
    """Decode an upload as safely as for recognition, and write it anew: neither EXIF nor a place survives.

    Raises:
        RequestError: it is no picture, damaged, or has more than `max_pixels`.
    """
    image = decode(data, max_pixels=max_pixels, shortest_side=LONGEST // 2).image
    image.info = {}
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    jpeg = buffer.getvalue()
    return Kept(jpeg, hashlib.sha256(jpeg).hexdigest(), look_of(image), *image.size)


def look_of(image: Image.Image) -> str:
    """The perceptual hash, hex; empty for a picture of one colour, whose hash would be noise."""
    return "" if is_flat(image) else perceptual_hash(image).tobytes().hex()
