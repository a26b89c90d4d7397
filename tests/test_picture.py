"""Uploads become upright RGB pictures, or one of three errors that the sender can mend."""

import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, GifImagePlugin, Image, ImageFile, PngImagePlugin, WebPImagePlugin

from app.errors import PublicError, TooManyPixels, UnreadableImage, UnsupportedFormat
from tests.conftest import ROOT
from tests.drawn import assert_shows, bmp_header, gif_frame, look, png, tiff

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"]
WITH_EXIF = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"]
SAVED_AS = {"HEIC": "HEIF"}
"""Our name of a format to Pillow's, where they differ."""


# Formats


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_on_the_list_shows_the_photograph(format, cat, encode):
    small = cat.resize((90, 60))
    seen = look(encode(small, SAVED_AS.get(format, format)))
    assert (seen.format, seen.width, seen.height) == (format, 90, 60)
    assert (seen.image.mode, seen.image.size) == ("RGB", (90, 60))
    apart = np.abs(np.asarray(seen.image).astype(int) - np.asarray(small))
    assert apart.mean() <= (0 if format in ("PNG", "BMP", "TIFF") else 6)


def test_an_mpo_of_a_phone_is_a_jpeg_and_shows_its_first_picture(encode):
    first, second = Image.new("RGB", (1600, 1200), "red"), Image.new("RGB", (1600, 1200), "blue")
    seen = look(encode(first, "MPO", save_all=True, append_images=[second]))
    assert (seen.format, seen.width, seen.height, seen.image.size) == ("JPEG", 1600, 1200, (800, 600))
    assert seen.image.getpixel((9, 9))[0] > 250


@pytest.mark.parametrize(("format", "brand"), [("HEIF", b"mif1"), ("AVIF", b"mif1"), ("HEIF", b"msf1")])
def test_a_container_is_known_by_its_content_where_its_brand_is_general(format, brand, cat, encode):
    data = encode(cat.resize((64, 64)), format)
    assert look(data[:8] + brand + data[12:]).format == {"HEIF": "HEIC"}.get(format, format)


@pytest.mark.parametrize("format", ["PPM", "ICO", "PCX", "TGA", "SGI", "JPEG2000", "DDS", "ICNS"])
def test_a_format_off_the_list_is_unsupported_though_pillow_reads_it(format, encode):
    with pytest.raises(UnsupportedFormat):
        look(encode(Image.new("RGB", (64, 64)), format))


@pytest.mark.parametrize("data", [b"", b"\0", b"hello", b"%PDF-1.7", b"<svg xmlns='x'/>", b"GIF88a", bytes(5000)])
def test_what_is_no_picture_is_unsupported(data):
    with pytest.raises(UnsupportedFormat):
        look(data)


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_cut_off_in_its_header_is_unreadable_not_unsupported(format, encode):
    data = encode(Image.new("RGB", (64, 64)), SAVED_AS.get(format, format))
    for length in (20, 24, 33):
        with pytest.raises(UnreadableImage):
            look(data[:length])


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_cut_off_or_scratched_anywhere_is_a_picture_or_unreadable(format, cat, encode):
    data = encode(cat.resize((48, 32)), SAVED_AS.get(format, format))
    random = np.random.default_rng(7)
    broken = [data[:length] for length in random.integers(0, len(data), 20)]
    for _ in range(60):
        scratched = bytearray(data)
        for place in random.integers(0, min(len(data), 600), 4):
            scratched[place] = random.integers(256)
        broken.append(bytes(scratched))
    for upload in broken:
        try:
            assert look(upload, max_pixels=10_000_000).image.mode == "RGB"
        except PublicError as error:
            assert isinstance(error, (UnreadableImage, UnsupportedFormat, TooManyPixels))


def test_a_png_cut_off_behind_its_last_pixel_is_shown():
    whole = png(2, 1, 8, 0, bytes([10, 200]))
    assert_shows(whole[: whole.index(b"IEND") - 4] + b"\0\0\x99\0teXt", np.array([[10, 200]]), within=0)
    with pytest.raises(UnreadableImage):
        look(whole[: whole.index(b"IDAT") + 8])


@pytest.mark.parametrize(
    "error",
    [
        *[OSError, ValueError, SyntaxError, struct.error, EOFError, IndexError, TypeError, KeyError, RuntimeError],
        *[zlib.error, ZeroDivisionError, OverflowError, AssertionError, AttributeError, RecursionError],
    ],
)
def test_whatever_a_decoder_raises_the_picture_is_unreadable(error, monkeypatch):
    def stumble(self):
        raise error("broken")

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "load_prepare", stumble)
    with pytest.raises(UnreadableImage) as raised:
        look(gif_frame((8, 8), (8, 8)))
    assert isinstance(raised.value.__cause__, error)


@pytest.mark.parametrize("error", [MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning])
def test_running_out_of_memory_means_too_many_pixels(error, monkeypatch):
    def stumble(self):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", stumble)
    with pytest.raises(TooManyPixels):
        look(png(1, 1, 8, 0, b"\0"))


# Orientation


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows of stored `pixels`: the EXIF standard's table, in NumPy's words."""
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    mirror = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.flip(pixels, mirror.get(orientation, ()))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", WITH_EXIF)
def test_a_picture_stands_upright_in_every_format_that_carries_an_orientation(format, orientation, encode):
    stored = np.zeros((64, 96, 3), dtype=np.uint8)
    stored[:32, :48], stored[:32, 48:], stored[32:, :48] = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    seen = look(encode(Image.fromarray(stored), SAVED_AS.get(format, format), exif=exif.tobytes(), quality=95))
    expected = turned(stored, orientation)
    assert (seen.height, seen.width) == expected.shape[:2]
    # Only the middle of each quarter: lossy formats blur the borders.
    rows, columns = expected.shape[0] // 4, expected.shape[1] // 4
    shown = np.asarray(seen.image).astype(int)[rows :: 2 * rows, columns :: 2 * columns]
    assert np.abs(shown - expected[rows :: 2 * rows, columns :: 2 * columns]).max() < 40


def test_a_reduced_jpeg_stands_upright_and_reports_the_originals_size(encode):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    seen = look(encode(Image.new("RGB", (2000, 1200)), "JPEG", exif=exif))
    assert (seen.width, seen.height, seen.image.size) == (1200, 2000, (600, 1000))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "HEIC"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0rubbish, not a TIFF",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0" + bytes(4),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0" + bytes(4),
    ],
    ids=["rubbish", "cut off", "points outside", "text for a number", "orientation 99"],
)
def test_broken_exif_never_costs_the_picture(format, exif, cat, encode):
    data = encode(cat.resize((60, 40)), SAVED_AS.get(format, format), exif=exif)
    seen = look(data)
    assert (seen.width, seen.height, seen.image.size) == (60, 40, (60, 40))


@pytest.mark.parametrize("rubbish", [b"rubbish!", b"MM\0*\x7f\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"])
def test_broken_exif_never_costs_an_avif_though_libavif_would_have_it_so(rubbish, cat, encode):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    data = encode(cat.resize((60, 40)), "AVIF", exif=exif)
    start = data.index(b"MM\0*")
    seen = look(data[:start] + rubbish + data[start + len(rubbish) :])
    assert (seen.format, seen.image.size) == ("AVIF", (60, 40))


# Limits


@pytest.mark.parametrize(
    "data",
    [
        png(10_000, 10_000, 8, 2, b""),
        gif_frame((10_000, 10_000), (8, 8)),
        gif_frame((8, 8), (10_000, 10_000)),
        gif_frame((8, 8), (65_535, 65_535)),
        bmp_header(10_000, 10_000),
        bmp_header(2_000_000_000, 3_000),
        tiff(10_000, 10_000, b"", BitsPerSample=8, PhotometricInterpretation=1),
        tiff(2**31, 2**31, b"", BitsPerSample=8, PhotometricInterpretation=1),
    ],
)
def test_too_many_pixels_are_refused_before_memory_is_spent(data, monkeypatch):
    def fill(mode, size, *_):
        assert size[0] * size[1] <= 50_000_000

    monkeypatch.setattr(Image.core, "new", fill)
    monkeypatch.setattr(Image.core, "fill", fill)
    with pytest.raises(TooManyPixels) as raised:
        look(data)
    assert raised.value.values == {"limit_mp": "50", "limit_wan": "5000"}


@pytest.mark.parametrize("format", FORMATS)
def test_the_limit_is_exact_in_every_format(format, encode):
    data = encode(Image.new("RGB", (100, 70)), SAVED_AS.get(format, format))
    assert look(data, max_pixels=7_000).width == 100
    with pytest.raises(TooManyPixels, match=r"more than 0\.006999 million"):
        look(data, max_pixels=6_999)


def test_limits_hold_and_nothing_is_warned_of_between_pillows_own():
    # Pillow warns from 89 million pixels and raises from 179 million.
    program = (
        "from PIL import Image; from app.errors import PublicError; from app.vision.picture import decode\n"
        "from tests.drawn import gif_frame, png\n"
        "Image.core.fill = lambda *_: print('spent')\n"
        "frame, header = gif_frame((8, 8), (10_000, 12_000)), png(15_000, 10_000, 8, 2, b'')\n"
        "for millions, data in [(50, frame), (50, header), (200, header)]:\n"
        "    try: decode(data, max_pixels=millions * 10**6, shortest_side=256)\n"
        "    except PublicError as error: print(error.code)\n"
    )
    for flags in ([], ["-W", "error"], ["-W", "always"]):
        ran = subprocess.run([sys.executable, *flags, "-c", program], capture_output=True, cwd=ROOT, check=False)
        assert (ran.stdout.split(), ran.stderr) == ([b"too_many_pixels"] * 2 + [b"unreadable_image"], b"")


def test_a_heics_thumbnails_and_depth_are_left_alone():
    options = pillow_heif.options
    assert not (options.THUMBNAILS or options.DEPTH_IMAGES or options.AUX_IMAGES)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_only_the_first_of_many_frames_is_decoded(format, encode, monkeypatch):
    frames = [Image.new("RGB", (16, 16), (value % 256, 0, 255 - value % 256)) for value in range(1, 400)]
    data = encode(Image.new("RGB", (16, 16), "lime"), format, save_all=True, append_images=frames)
    decoded, get_decoder, get_frame = [], Image._getdecoder, WebPImagePlugin.WebPImageFile._get_next
    monkeypatch.setattr(Image, "_getdecoder", lambda *given: decoded.append(1) or get_decoder(*given))
    monkeypatch.setattr(WebPImagePlugin.WebPImageFile, "_get_next", lambda self: decoded.append(1) or get_frame(self))
    assert look(data).image.getpixel((8, 8))[1] > 240
    assert len(decoded) == (2 if format == "WEBP" else 1)  # a WebP's frame, and the copy of its bytes


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("size", "reduced"),
    [
        ((1023, 4000), (1023, 4000)),
        ((1024, 1024), (512, 512)),
        ((2047, 1999), (1024, 1000)),
        ((2048, 3001), (512, 751)),
        ((4096, 4097), (512, 513)),
        ((9000, 600), (9000, 600)),
    ],
)
def test_a_large_jpeg_is_decoded_small_but_never_below_twice_the_shortest_side(mode, size, reduced, encode):
    seen = look(encode(Image.new(mode, size), "JPEG"))
    assert (seen.image.mode, seen.image.size, seen.width, seen.height) == ("RGB", reduced, *size)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_keep_every_pixel(format, encode):
    assert look(encode(Image.new("RGB", (2048, 1100)), format)).image.size == (2048, 1100)


def test_the_picture_keeps_no_metadata_and_no_upload(encode):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    for format in ("JPEG", "PNG", "WEBP"):
        image = look(encode(Image.new("RGB", (64, 64)), format, exif=exif)).image
        assert not isinstance(image, ImageFile.ImageFile)
        assert set(image.info) <= {"extent"}


# Threads


def test_many_threads_decode_what_one_does(cat, encode):
    formats = ["JPEG", "PNG", "HEIF", "GIF", "WEBP", "AVIF"]
    uploads = [encode(cat.resize((200, 100 + place)), format) for place, format in enumerate(formats)]
    alone = [look(upload).image.tobytes() for upload in uploads]
    together = threading.Barrier(8)

    def decode_all(_: int) -> list[bytes]:
        together.wait()
        return [look(upload).image.tobytes() for upload in uploads]

    with ThreadPoolExecutor(8) as pool:
        assert all(answer == alone for answer in pool.map(decode_all, range(8)))
