"""Pictures by hand, byte for byte, where Pillow would not write what a test needs; and what they should look like."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags

from app.vision.picture import Picture, decode


def peak_mb() -> int:
    """The most memory this process has had; `resource` would count what its parent had when it was forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def look(data: bytes, max_pixels: int = 50_000_000, shortest_side: int = 256) -> Picture:
    return decode(data, max_pixels=max_pixels, shortest_side=shortest_side)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: `rows` are scanlines without their filter bytes, `chunks` stand before the pixels."""
    stride = len(rows) // height if height and rows else 0
    scanlines = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride or 1))
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = [header, *chunks, (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(width: int, height: int, pixels: bytes, order: str = "<", **tags: int | tuple[int, ...]) -> bytes:
    """An uncompressed TIFF by hand, with one strip; `tags` by their names in `ExifTags.Base`."""
    names = {"ImageWidth": width, "ImageLength": height, "Compression": 1, "StripOffsets": 8, "RowsPerStrip": height}
    names |= {"StripByteCounts": len(pixels), **tags}
    entries, extra = [], b""
    for name, value in sorted(names.items(), key=lambda item: ExifTags.Base[item[0]]):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"{order}{len(values)}I", *values)
        where = packed if len(values) == 1 else struct.pack(order + "I", 8 + len(pixels) + len(extra))
        extra += packed if len(values) > 1 else b""
        entries.append(struct.pack(order + "HHI", ExifTags.Base[name], 4, len(values)) + where)
    start = 8 + len(pixels) + len(extra)
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return header + pixels + extra + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Float colours `[h, w, 3]` (or `[h, w, 1]`) under alpha 0 to 255 `[h, w]`, over white."""
    share = alpha[..., None] / 255
    return np.broadcast_to(colour * share + 255 * (1 - share), (*alpha.shape, 3))


def assert_shows(data: bytes, expected: np.ndarray, within: float = 1.0) -> None:
    """`decode` yields `expected` (`[h, w]` or `[h, w, 3]`), to `within` grey levels at every pixel."""
    image = look(data).image
    assert image.mode == "RGB"
    expected = expected[..., None] if expected.ndim == 2 else expected
    assert np.abs(np.asarray(image).astype(float) - expected).max() <= within


def gif_frame(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A GIF with one frame, whose extents may exceed the screen, to be disposed of, which takes a frame's memory."""
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    control = b"!\xf9\x04\x08\0\0\0\0"
    return header + control + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\0;"


def bmp_header(width: int, height: int, compression: int = 0) -> bytes:
    fields = (40, width, height, 1, 8, compression, 0, 0, 0, 256, 0)
    palette = b"".join(bytes([value, 0, value, 0]) for value in range(256))
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + struct.pack("<IiiHHIIiiII", *fields) + palette
