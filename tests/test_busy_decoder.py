"""Small files made to keep a decoder busy for minutes are given up."""

import struct

import pytest
from PIL import Image

from app.errors import UnreadableImage
from app.vision import picture
from tests.drawn import bmp_header, look, png, tiff


def test_a_jpeg_of_endless_scans_is_refused(encode):
    data = encode(Image.new("L", (640, 480)), "JPEG", progressive=True)
    assert look(data).width == 640
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImage):
        look(data[:-2] + last * 60 + data[-2:])


def test_a_tiff_of_endless_strips_is_refused_before_it_is_opened(monkeypatch):
    strips = (8,) * 70_000
    data = tiff(100, 100, bytes(10_000), BitsPerSample=8, PhotometricInterpretation=1, StripOffsets=strips)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UnreadableImage):
        look(data)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_strips_of_a_tiff_are_counted_in_either_byte_order_and_size(order, large):
    sizes = ("Q", "HHQQ", "Q") if large else ("H", "HHII", "I")
    header = {"<": b"II", ">": b"MM"}[order] + (b"\x2b\0\x08\0\0\0" if large else struct.pack(order + "H", 42))
    start = 16 if large else 8
    directory = struct.pack(order + sizes[0], 2)
    directory += struct.pack(order + sizes[1], 256, 4, 1, 9) + struct.pack(order + sizes[1], 273, 3, 1234, 0)
    data = header + struct.pack(order + sizes[2], start) + directory
    assert picture._count_strips(data) == 1234
    assert [picture._count_strips(data[:length]) for length in (0, 5, 9, 20)] == [0, 0, 0, 0]


def test_a_png_of_endless_chunks_is_given_up(monkeypatch):
    monkeypatch.setattr(picture, "OPEN_CPU_S", 0.05)
    data = png(1, 1, 8, 0, b"\0", *[(b"teSt", b"")] * 50_000)
    with pytest.raises(UnreadableImage):
        look(data)


def test_a_bmp_of_endless_short_runs_is_given_up(monkeypatch):
    monkeypatch.setattr(picture, "_LOAD_CPU_S", 0.05)
    monkeypatch.setattr(picture, "_LOAD_CPU_S_PER_PIXEL", 1)
    with pytest.raises(UnreadableImage):
        look(bmp_header(5_000, 5_000, compression=1) + b"\x01\x05\x00\x00" * 5_000)
    assert look(bmp_header(4, 1, compression=1) + b"\x04\x07\x00\x01").image.getpixel((0, 0)) == (7, 0, 7)
