"""What a photo looks like, in a few bytes: enough to find the same picture again under another name.

A perceptual hash proposes pairs, a thumbnail confirms them. Both limits come from the 1357 photographs of three sets
(hymenoptera, grocery20, trashnet) and from copies made of 120 of them: saved again as JPEG of quality 50 and 20 or as
WebP, halved, enlarged by half, brighter by 15 %, with 20 % more contrast, without 1 % at each edge. The hash of 256
bits put all those copies within 32 bits of the original; of the 920 000 pairs of different files it put one within 32
(the same advertisement photographed twice, lit differently) and the next at 58 (one carton from two sides). The hashes
of 64 bits (phash, dhash) and the wavelet hash overlap: different photos from 5 to 12 bits on, copies at up to 14.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.vision.decoders import decode
from app.vision.look import FLAT, MOST_BITS, perceptual_hash
from app.vision.sharpness import SIDE, is_blurred

_THUMBNAIL_SIDE = 16
_MOST_RESIDUAL = 45
"""Of 255, at any place of the thumbnail: copies reached 40 (with a cut edge 51), a spot of 6 % of the width 84 on
average, another colour 124."""
_ROWS = 64

_Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """`content` is the SHA-256 of the file; `shorter_side` in pixels; `bits` uint64 `[4]`; `thumbnail` uint8 `[768]`.

    `flat` photos, of one colour, are never near another: only equal.
    """

    content: str
    shorter_side: int
    bits: _Array
    thumbnail: _Array
    flat: bool
    blurred: bool


def look_at(path: Path, max_pixels: int) -> Look:
    """Decode a photo and describe it.

    Raises:
        RequestError: it is no picture, damaged, or has more than `max_pixels`.
        OSError: it cannot be read from the disk.
    """
    return look_of(path.read_bytes(), max_pixels)


def look_of(data: bytes, max_pixels: int) -> Look:
    """The same of a file's content. Raises RequestError as `look_at`."""
    picture = decode(data, max_pixels=max_pixels, shortest_side=SIDE // 2)
    small = picture.image.resize((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BOX)
    thumbnail = np.asarray(small, dtype=np.uint8)
    return Look(
        content=hashlib.sha256(data).hexdigest(),
        shorter_side=min(picture.width, picture.height),
        bits=perceptual_hash(picture.image),
        thumbnail=thumbnail.ravel(),
        flat=bool(thumbnail.std(axis=(0, 1)).max() < FLAT),
        blurred=is_blurred(picture.image),
    )


def near_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """The positions, lower first, of all pairs that show the same picture."""
    if not looks:
        return []
    bits = np.stack([look.bits for look in looks])
    found: list[tuple[int, int]] = []
    for start in range(0, len(looks), _ROWS):
        rows = bits[start : start + _ROWS, None]
        distance = np.bitwise_count(rows ^ bits[None, start:]).sum(axis=2, dtype=np.uint16)
        firsts, seconds = np.nonzero(np.triu(distance <= MOST_BITS, k=1))
        found += zip((firsts + start).tolist(), (seconds + start).tolist(), strict=True)
    return [(first, second) for first, second in found if _confirmed(looks[first], looks[second])]


def _confirmed(first: Look, second: Look) -> bool:
    """Whether the thumbnails agree at every place, but for the brightness and the contrast of the whole."""
    if first.flat or second.flat:
        return False
    one, other = first.thumbnail.astype(np.float64), second.thumbnail.astype(np.float64)
    slope, offset = np.polyfit(one, other, 1)
    return bool(np.abs(slope * one + offset - other).max() <= _MOST_RESIDUAL)
