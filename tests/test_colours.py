"""Every mode and depth that a file can hold is shown in its colours, on white."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from app.vision.colours import levels, to_rgb
from tests.conftest import ROOT
from tests.drawn import assert_shows, look, on_white, png, tiff


@pytest.fixture(scope="module")
def noise():
    """Random samples, `[6, 8, 4]`, uint8."""
    return np.random.default_rng(1).integers(0, 256, (6, 8, 4), dtype=np.uint8)


def test_bilevel_png():
    assert_shows(png(8, 1, 1, 0, b"\xa5"), np.array([[255, 0, 255, 0, 0, 255, 0, 255]]), within=0)


def test_grey_png(noise):
    assert_shows(png(8, 6, 8, 0, noise[..., 0].tobytes()), noise[..., 0], within=0)


def test_grey_png_with_alpha_is_laid_on_white(noise):
    data = png(8, 6, 8, 4, noise[..., :2].tobytes())
    assert_shows(data, on_white(noise[..., :1], noise[..., 1]))


def test_rgb_png_with_alpha_is_laid_on_white(noise):
    assert_shows(png(8, 6, 8, 6, noise.tobytes()), on_white(noise[..., :3], noise[..., 3]))


def test_sixteen_bit_png_is_scaled_not_clipped(noise):
    deep = np.random.default_rng(2).integers(0, 65536, (6, 8, 4)).astype(">u2")
    scaled = deep.astype(float) / 257
    assert_shows(png(8, 6, 16, 0, deep[..., 0].tobytes()), scaled[..., 0], within=0.51)
    assert_shows(png(8, 6, 16, 2, deep[..., :3].tobytes()), scaled[..., :3])
    assert_shows(png(8, 6, 16, 4, deep[..., :2].tobytes()), on_white(scaled[..., :1], scaled[..., 1]), within=2)
    assert_shows(png(8, 6, 16, 6, deep.tobytes()), on_white(scaled[..., :3], scaled[..., 3]), within=2)


@pytest.mark.parametrize(
    ("depth", "row", "key", "shown"),
    [
        (1, b"\x40", 1, [0, 255]),
        (1, b"\x40", 0, [255, 255]),
        (2, b"\x1b", 1, [0, 255, 170, 255]),
        (4, b"\x0f\x30", 3, [0, 255, 255, 0]),
        (8, b"\x03\x0f\xff\x00", 3, [255, 15, 255, 0]),
        (16, struct.pack(">4H", 3, 770, 65535, 0), 3, [255, 3, 255, 0]),
    ],
)
def test_the_transparent_grey_of_a_png_is_white_at_every_depth(depth, row, key, shown):
    data = png(len(shown), 1, depth, 0, row, (b"tRNS", struct.pack(">H", key)))
    assert_shows(data, np.array([shown]), within=0)


@pytest.mark.parametrize(("depth", "unit"), [(8, 1), (16, 257)])
def test_the_transparent_colour_of_a_png_is_white_at_every_depth(depth, unit):
    colours = np.array([[[9, 70, 200], [9, 70, 201], [0, 0, 0]]])
    rows = (colours * unit).astype(">u2" if depth == 16 else "u1").tobytes()
    data = png(3, 1, depth, 2, rows, (b"tRNS", struct.pack(">3H", 9 * unit, 70 * unit, 200 * unit)))
    assert_shows(data, np.array([[[255, 255, 255], [9, 70, 201], [0, 0, 0]]]), within=0)


@pytest.mark.parametrize("alphas", [b"", b"\xff\x00", b"\x80\xff\x40\x00"])
def test_palette_png_with_any_transparency(alphas):
    palette = np.array([[10, 20, 30], [200, 0, 0], [0, 99, 250], [255, 255, 0]])
    indices = np.array([[0, 1, 2, 3], [3, 3, 1, 0]])
    chunks = [(b"PLTE", palette.astype("u1").tobytes()), *([(b"tRNS", alphas)] if alphas else [])]
    alpha = np.array([*alphas, *([255] * (4 - len(alphas)))])
    data = png(4, 2, 8, 3, indices.astype("u1").tobytes(), *chunks)
    assert_shows(data, on_white(palette[indices], alpha[indices]))


def test_the_transparent_colour_of_a_gif_is_white(encode):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 99, 250])
    data = encode(image, "GIF", transparency=1, optimize=False)
    assert_shows(data, np.array([[[10, 20, 30], [255, 255, 255], [0, 99, 250]]]), within=0)


@pytest.mark.parametrize("format", ["WEBP", "TIFF"])
def test_alpha_of_other_formats_is_laid_on_white(format, noise, encode):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    assert_shows(encode(Image.fromarray(noise), format, **options), on_white(noise[..., :3], noise[..., 3]))


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_alpha_of_lossy_formats_is_laid_on_white(format, encode):
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 64, 32))
    pixels = np.asarray(look(encode(image, format, quality=90)).image).astype(int)
    assert np.abs(pixels[:30] - [255, 255, 255]).max() < 12
    assert np.abs(pixels[34:] - [255, 0, 0]).max() < 12


def test_cmyk_of_adobe_jpeg_and_of_tiff_are_not_taken_for_each_other(encode):
    ink = Image.new("CMYK", (32, 32), (0, 200, 200, 10))  # red
    for format in ("JPEG", "TIFF"):
        pixel = np.asarray(look(encode(ink, format)).image)[16, 16].astype(float)
        assert np.abs(pixel - 245 * np.array([255, 55, 55]) / 255).max() < 4


def test_grey_jpeg_ycbcr_tiff_and_lab_tiff(noise, encode):
    from skimage.color import lab2rgb

    grey = Image.linear_gradient("L")
    assert_shows(encode(grey, "JPEG", quality=95), np.asarray(grey).astype(float), within=4)
    y, blue, red = (noise[..., channel].astype(float) for channel in range(3))
    green = y - 0.344136 * (blue - 128) - 0.714136 * (red - 128)
    rgb = np.stack([y + 1.402 * (red - 128), green, y + 1.772 * (blue - 128)], axis=-1)
    tags = {"BitsPerSample": (8, 8, 8), "SamplesPerPixel": 3}
    assert_shows(tiff(8, 6, noise[..., :3].tobytes(), PhotometricInterpretation=6, **tags), rgb.clip(0, 255), within=2)
    lab = np.array([[[50, 20, -30], [80, -20, 10], [0, 0, 0], [100, 0, 0]]], dtype=float)
    stored = (lab * [2.55, 1, 1]).round().astype(np.int16).astype(np.uint8).tobytes()
    assert_shows(tiff(4, 1, stored, PhotometricInterpretation=8, **tags), lab2rgb(lab) * 255, within=6)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_grey_tiff_is_scaled_in_either_byte_order(order):
    values = np.array([[0, 1, 257, 32768, 65278, 65535]])
    data = tiff(6, 1, values.astype(order + "u2").tobytes(), order, BitsPerSample=16, PhotometricInterpretation=1)
    assert_shows(data, values / 257, within=0.51)


def test_sixteen_bit_grey_tiff_in_which_zero_is_white():
    values = np.array([[0, 257, 65535]])
    data = tiff(3, 1, values.astype("<u2").tobytes(), BitsPerSample=16, PhotometricInterpretation=0)
    assert_shows(data, 255 - values / 257, within=0.51)


def test_twelve_bit_grey_tiff_reaches_white():
    data = tiff(2, 1, b"\xff\xf8\x00", BitsPerSample=12, PhotometricInterpretation=1)
    assert_shows(data, np.array([[255, 128]]), within=0.51)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 0.5, 1], [0, 127.5, 255]),
        ([0, 100, 200], [0, 100, 200]),
        ([0, 257, 60_000], [0, 1, 60_000 / 257]),
        ([-1, 0, 3], [0, 63.75, 255]),
        ([70_000, 75_000, 80_000], [0, 127.5, 255]),
        ([0, np.nan, 1], [0, 0, 255]),
        ([-np.inf, 0.5, np.inf], [0, 127.5, 255]),
        ([np.nan] * 3, [0] * 3),
        ([-5, -5, -5], [0] * 3),
        ([-3e38, 0, 3e38], [0, 127.5, 255]),
    ],
    ids=str,
)
def test_float_tiff_takes_as_white_what_its_range_suggests(values, shown):
    pixels = np.array([values], dtype="<f4").tobytes()
    data = tiff(3, 1, pixels, BitsPerSample=32, PhotometricInterpretation=1, SampleFormat=3)
    assert_shows(data, np.array([shown]), within=0.51)


@pytest.mark.parametrize(
    ("kind", "sample_format", "values", "shown"),
    [
        ("<i4", 2, [0, 40_000, 65_535], [0, 40_000 / 257, 255]),
        ("<i4", 2, [-(2**31), 0, 2**31 - 1], [0, 127.5, 255]),
        ("<u4", 1, [0, 1, 1], [0, 255, 255]),
        ("<i2", 2, [-100, 0, 100], [0, 127.5, 255]),
    ],
)
def test_integer_tiff_takes_as_white_what_its_range_suggests(kind, sample_format, values, shown):
    pixels = np.array([values], dtype=kind).tobytes()
    bits = 16 if kind == "<i2" else 32
    data = tiff(3, 1, pixels, BitsPerSample=bits, PhotometricInterpretation=1, SampleFormat=sample_format)
    assert_shows(data, np.array([shown]), within=0.51)


@pytest.mark.parametrize("extra", [1, 2], ids=["premultiplied", "separate"])
def test_grey_tiff_with_alpha_is_laid_on_white(extra, noise):
    alpha = noise[..., 1]
    grey = np.minimum(noise[..., 0], alpha) if extra == 1 else noise[..., 0]
    pixels = np.dstack([grey, alpha]).tobytes()
    tags = {"BitsPerSample": (8, 8), "SamplesPerPixel": 2, "PhotometricInterpretation": 1, "ExtraSamples": extra}
    expected = grey[..., None] + 255.0 - alpha[..., None] if extra == 1 else on_white(grey[..., None], alpha)
    assert_shows(tiff(8, 6, pixels, **tags), expected, within=2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "I;16", "I;16B", "I", "F"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_every_mode_that_a_tiff_holds_shows_white_as_white(mode, compression, encode):
    image = Image.new("RGB", (40, 30), "white")
    image = image.convert("L").convert(mode) if mode in ("1", "LA", "I", "F") else image.convert(mode)
    if mode.startswith("I;16"):
        image = Image.frombytes(mode, (40, 30), b"\xff" * 2400)
    assert_shows(encode(image, "TIFF", compression=compression), np.full((30, 40), 255), within=0)


@pytest.mark.parametrize("mode", ["HSV", "RGBX", "RGBa", "La", "I;16L", "I;16N", "YCbCr"])
def test_modes_that_no_file_on_the_list_has_are_understood_too(mode):
    if mode == "La":
        image = Image.frombytes("La", (1, 1), bytes([40, 128]))
    elif mode.startswith("I;16"):
        image = Image.frombytes(mode, (1, 1), struct.pack("<H", 167 * 257))
    else:
        image = Image.new("RGBA", (1, 1), (80, 80, 80, 128)) if mode == "RGBa" else Image.new("RGB", (1, 1), (167,) * 3)
        image = image.convert(mode)
    assert np.abs(np.asarray(to_rgb(image, *levels(image))).astype(int) - 167).max() <= 1


def test_a_large_picture_needs_no_full_size_copy_on_its_way_to_rgb(encode):
    data = encode(Image.new("P", (4000, 3000)), "PNG", transparency=bytes([9, 99]), compress_level=1)
    program = (
        "import sys; from app.vision.picture import decode; from tests.drawn import peak_mb as peak\n"
        "data = sys.stdin.buffer.read(); before = peak()\n"
        "decode(data, max_pixels=50_000_000, shortest_side=256); print(peak() - before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, cwd=ROOT, check=True)
    # 12 MB of palette indices and 48 MB of RGB; through RGBA and a white sheet it would be 156.
    assert int(ran.stdout) < 90
