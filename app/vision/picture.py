"""From an upload to an upright RGB picture, whatever the bytes are.

Nothing here trusts the file: the format is on a list, the size is checked before the pixels are decoded, only the first
frame is decoded, and the processor time that a crafted file can burn is bounded.
"""

import io
import struct
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pillow_heif
from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from app.errors import PublicError, TooManyPixels, UnreadableImage, UnsupportedFormat
from app.vision.colours import levels, to_rgb

EXTENT = "extent"
"""Key in a picture's `info`: the (width, height) it shows, where that ends within the last column or row.

A JPEG of 1001 x 999 decoded at 1/2 has 501 x 500 pixels and shows 500.5 x 499.5. Stretched to 501 x 500, what the
network sees would move by up to a fifth of a pixel, and its probabilities by up to 0.07 instead of 0.015.
"""

_OPENERS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""The plugins that may look at an upload. AVIF comes before HEIF: both may say "mif1", and libheif here has no AV1."""

_NAMES = {"MPO": "JPEG", "HEIF": "HEIC"}
"""Pillow's name to ours, where they differ; phones write MPO, a JPEG with more pictures behind the first."""

FORMATS = frozenset(_NAMES.get(name, name) for name in _OPENERS)
"""What a picture's format may be called."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what undoes it."""

# Limits on crafted files; each is far above what a camera or an editor writes.
OPEN_CPU_S = 0.5
_LOAD_CPU_S = 1.0
_LOAD_CPU_S_PER_PIXEL = 1e-7
_MAX_JPEG_SCANS = 50  # every scan is a pass over all pixels, and takes as little as 75 bytes
_MAX_TIFF_STRIPS = 65_536  # every strip is a Python object, and takes as little as 2 bytes

# Pillow loads its plugins when first needed; here that would be in several threads at once.
Image.init()
# A server decodes in a pool: more threads for each picture only add memory. Only the main picture of a HEIC is wanted.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
# Pillow warns of odd metadata, which is of no interest in a log. Of too many pixels it warns too, and goes on to twice
# as many: as an error, that becomes a limit.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_backstop = threading.Lock()

ON_ALLOWANCE: list[Callable[[float], object]] = []
"""Who is told of the processor time, in seconds, that the next step of decoding may take."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded upload.

    `image` is RGB and upright; a large JPEG's is smaller than the original. `format` is one of JPEG, PNG, WEBP, GIF,
    BMP, TIFF, AVIF, HEIC. `width` and `height` are the original's in pixels, as a person sees it.
    """

    image: Image.Image
    format: str
    width: int
    height: int


def decode(data: bytes, *, max_pixels: int, shortest_side: int) -> Picture:
    """Decode an upload's first frame.

    A JPEG whose shorter side is at least four times `shortest_side` (pixels, what the transform resizes to) is decoded
    at 1/2, 1/4 or 1/8, never below twice `shortest_side`. Every other picture keeps its pixels: an average taken first
    would shift the network's probabilities by up to 0.04, and the decoder has needed the memory by then.

    Raises:
        UnsupportedFormat: the bytes are no picture, or one of a format that is not on the list.
        TooManyPixels: the picture claims more than `max_pixels`, or more memory than there is.
        UnreadableImage: the picture is damaged, cut off, or made to keep a decoder busy.
    """
    _raise_backstop(max_pixels)
    try:
        return _decode(data, max_pixels, shortest_side)
    except PublicError:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(limit=max_pixels) from error
    except Exception as error:
        # Decoders raise whatever hostile bytes make them trip over: struct.error, KeyError, RuntimeError, …
        raise UnreadableImage from error


def _raise_backstop(max_pixels: int) -> None:
    """Let Pillow's own limit, which guards what it allocates while it opens a file, never undercut ours."""
    with _backstop:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)


def _decode(data: bytes, max_pixels: int, shortest_side: int) -> Picture:
    stream = _Stream(data)
    opened = _open(stream, data)
    width, height = opened.size
    if width * height > max_pixels:
        raise TooManyPixels(limit=max_pixels)
    extent = _choose_scale(opened, data, shortest_side)
    # A BMP's pixels take next to no time, but for run lengths, which Pillow decodes in Python.
    stream.allow(_LOAD_CPU_S + (0 if opened.format == "BMP" else _LOAD_CPU_S_PER_PIXEL * width * height))
    _load(opened)
    orientation = _orientation(opened)
    name = str(opened.format)
    black, white = levels(opened)
    # Sheds the decoder, and with it up to two more copies of the picture, before the conversion takes memory.
    image = opened._new(opened.im)
    if isinstance(opened, PngImagePlugin.PngImageFile):
        _match_transparency_to_depth(image, depth=data[24])
    del opened
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    image = to_rgb(image, black, white)
    # Turned upright, the broken column may lie on the left; a camera that turns pictures takes no such sizes anyway.
    image.info = {EXTENT: extent} if extent and orientation not in _UPRIGHT else {}
    return Picture(image, _NAMES.get(name, name), width, height)


class _Stream(io.BytesIO):
    """The upload, readable for a limited processor time.

    Pillow walks chunks, segments and runs in Python with a read for each; 30 kB can hold 20 seconds of them.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.allow(OPEN_CPU_S)

    def allow(self, seconds: float) -> None:
        """From now on this thread may spend `seconds`."""
        self._until = time.thread_time() + seconds
        for tell in ON_ALLOWANCE:
            tell(seconds)

    def read(self, size: int | None = -1, /) -> bytes:
        """As `BytesIO.read`; raises UnreadableImage once the time is spent."""
        if time.thread_time() > self._until:
            raise UnreadableImage
        return super().read(size)


def _open(stream: _Stream, data: bytes) -> ImageFile.ImageFile:
    """Read the header only."""
    if data[:4] in TiffImagePlugin.PREFIXES and _count_strips(data) > _MAX_TIFF_STRIPS:
        raise UnreadableImage
    try:
        return Image.open(stream, formats=_OPENERS)
    except UnidentifiedImageError as error:
        accepts = (Image.OPEN[name][1] for name in _OPENERS)
        # The signature says what the file wanted to be; what follows is broken.
        if any(accept(data[:16]) for accept in accepts if accept):
            raise UnreadableImage from error
        raise UnsupportedFormat from error
    except ValueError as error:
        if "Exif" not in str(error):
            raise
        # libavif refuses a picture for its EXIF alone, which nobody needs; under another name it passes over it.
        return Image.open(_Stream(data.replace(b"Exif", b"none", 1)), formats=_OPENERS)


def _count_strips(data: bytes) -> int:
    """How many strips and tiles the first page of a TIFF claims; 0 where it cannot be told.

    Pillow builds an object for each while it opens the file: 16 MB would become 2 GB.
    """
    order = "<" if data.startswith(b"II") else ">"
    large = data[2:3] == b"\x2b"  # BigTIFF
    entry = struct.Struct(order + ("HHQ8x" if large else "HHI4x"))
    try:
        (start,) = struct.unpack_from(order + ("Q" if large else "I"), data, 8 if large else 4)
        (entries,) = struct.unpack_from(order + ("Q" if large else "H"), data, start)
    except (struct.error, OverflowError):
        return 0
    start += 8 if large else 2
    table = data[start : start + entries * entry.size]
    whole = len(table) // entry.size * entry.size
    strip_or_tile_offsets = (ExifTags.Base.StripOffsets, ExifTags.Base.TileOffsets)
    return sum(count for tag, _, count in entry.iter_unpack(table[:whole]) if tag in strip_or_tile_offsets)


def _choose_scale(opened: ImageFile.ImageFile, data: bytes, shortest_side: int) -> tuple[float, float] | None:
    """Let a large JPEG be decoded at 1/2, 1/4 or 1/8; returns what the original's size then is, in its pixels."""
    if not isinstance(opened, JpegImagePlugin.JpegImageFile):
        return None
    if _count_scans(data) > _MAX_JPEG_SCANS:
        raise UnreadableImage
    drafted = opened.draft(None, (2 * shortest_side, 2 * shortest_side))
    return drafted[1][2:] if drafted else None


def _count_scans(data: bytes) -> int:
    """How many scans a JPEG has, or a few more: its start-of-scan markers FF DA 00, wherever they stand.

    With NumPy a quarter of the time of `bytes.count`, and other threads may run meanwhile.
    """
    first, second, third = b"\xff\xda\x00"
    content = np.frombuffer(data, np.uint8)
    found = np.flatnonzero(content[1:-1] == second)
    return int(((content[found] == first) & (content[found + 2] == third)).sum())


def _load(opened: ImageFile.ImageFile) -> None:
    """Decode the pixels of the first frame."""
    try:
        opened.load()
    except OSError:
        # The stream is kept and no tile is left only where a PNG's pixels are whole and a chunk behind them is cut off.
        is_whole = isinstance(opened, PngImagePlugin.PngImageFile) and not opened.tile and opened.fp is not None
        if not is_whole:
            raise


def _orientation(opened: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or the EXIF is broken, for that must not cost the picture."""
    try:
        return int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _match_transparency_to_depth(image: Image.Image, depth: int) -> None:
    """Scale the transparent colour of a PNG as Pillow scaled its pixels, which it forgets; `depth` is bits a sample."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        most = 2**depth - 1
        image.info["transparency"] = (key & most) * 255 // most
    elif image.mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple((part >> (depth - 8)) & 255 for part in key)
