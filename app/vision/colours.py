"""Every mode and depth that Pillow can open, as RGB on white."""

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

_BAND_PIXELS = 2**20


def levels(opened: Image.Image) -> tuple[float, float]:
    """The values that stand for black and white, for modes with more than 8 bits a sample; else (0, 255).

    16 bits a sample run from 0 to 65535 (12 bits to 4095). No format says what white is in 32-bit integers (I) and
    floats (F): it is the first of 1, 255 and 65535 that no pixel exceeds; with a pixel below 0 or above 65535, the
    lowest becomes black and the highest white. A TIFF may declare that 0 is white.
    """
    tags = getattr(opened, "tag_v2", {})
    if opened.mode.startswith("I;16"):
        black, white = 0.0, 2.0 ** tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 1
    elif opened.mode in ("I", "F"):
        black, white = _levels_of_range(opened)
    else:
        return 0.0, 255.0
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    return (white, black) if white_is_zero else (black, white)


def to_rgb(image: Image.Image, black: float, white: float) -> Image.Image:
    """The picture as RGB, of the same size; what is transparent shows white.

    Goes band by band, so that a large picture needs no second full-size copy on the way. `black` and `white` are what
    `levels` said.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    whole = Image.new("RGB", image.size)
    for top, band in _bands(image):
        deep = band.mode in ("I", "F") or band.mode.startswith("I;16")
        whole.paste(_grey(band, black, white) if deep else _flat(band), (0, top))
    return whole


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Full-width slices of about a megapixel, with the row each starts at."""
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _flat(band: Image.Image) -> Image.Image:
    """Modes with 8 bits a sample or fewer as RGB."""
    if band.mode == "La":
        band = band.convert("LA")  # the only conversion that Pillow has for it
    if not band.has_transparency_data:
        return band.convert("RGB")
    band = band.convert("RGBA")
    paper = Image.new("RGB", band.size, "white")
    paper.paste(band, mask=band)
    return paper


def _grey(band: Image.Image, black: float, white: float) -> Image.Image:
    """Modes with more than 8 bits a sample as grey; what is not a number is black."""
    values = np.asarray(band).astype(np.float64)
    scale = 255 / (white - black) if white != black else 0.0
    with np.errstate(all="ignore"):
        grey = (values - black) * scale
    grey = np.rint(np.fmin(np.fmax(grey, 0), 255))  # fmax takes the 0 rather than what is not a number
    if (key := band.info.get("transparency")) is not None:
        grey[values == key] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _levels_of_range(image: Image.Image) -> tuple[float, float]:
    """Black and white for modes I and F, from the lowest and the highest number in the picture."""
    lows, highs = [], []
    for _, band in _bands(image):
        values = np.asarray(band)
        finite = values[np.isfinite(values)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    low, high = min(lows, default=0.0), max(highs, default=0.0)
    if low < 0:
        return low, high
    return next(((0.0, white) for white in (1.0, 255.0, 65535.0) if high <= white), (low, high))
