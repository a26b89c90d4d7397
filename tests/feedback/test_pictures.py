"""A picture that is kept is small, upright and says nothing of its camera; what looks the same is joined."""

import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageEnhance

from app.errors import TooManyPixels, UnsupportedFormat
from app.feedback.corrections import save, take_back
from app.feedback.database import Database
from app.feedback.pictures import path_of
from app.feedback.tables import Picture
from app.vision.keeping import LONGEST, look_of, prepare
from tests.feedback.sending import MAX_PIXELS, jpeg, kept, said


def same_as(database: Database, sha256: str) -> str | None:
    with database.session() as session:
        row = session.get(Picture, sha256)
        assert row is not None
        return row.same_as


def reopened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_neither_the_place_nor_the_camera_survives(cat: Image.Image) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera"
    exif[ExifTags.Base.DateTime] = "2026:01:01 00:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (31.0, 14.0, 0.0)
    data = jpeg(cat, exif=exif, comment=b"my home", icc_profile=b"x" * 200)
    assert b"Exif" in data
    assert b"my home" in data
    result = prepare(data, MAX_PIXELS).jpeg
    assert len(reopened(result).getexif()) == 0
    for trace in (b"Exif", b"A camera", b"2026", b"my home", b"ICC_PROFILE"):
        assert trace not in result


def test_it_is_upright_and_its_longer_side_has_1024_pixels_at_most(cat: Image.Image) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = reopened(prepare(jpeg(cat.resize((4000, 3000)), exif=exif), MAX_PIXELS).jpeg)
    assert image.size == (LONGEST * 3 // 4, LONGEST)
    small = reopened(kept(cat).jpeg)
    assert small.size == cat.size, "a small one keeps its pixels"
    difference = np.abs(np.asarray(small, float) - np.asarray(cat, float))
    assert difference.mean() < 3


def test_what_recognition_refuses_is_not_kept_either(cat: Image.Image) -> None:
    with pytest.raises(UnsupportedFormat):
        prepare(b"no picture", MAX_PIXELS)
    with pytest.raises(TooManyPixels):
        prepare(jpeg(cat), max_pixels=1000)


def test_the_look_is_the_hash_that_training_measured(cat: Image.Image, astronaut: Image.Image) -> None:
    for image in (cat, astronaut, cat.rotate(37), cat.convert("L")):
        assert look_of(image) == np.packbits(imagehash.phash(image.convert("RGB"), 16).hash).tobytes().hex()


def test_copies_are_joined_and_others_are_not(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    pictures = {
        "original": kept(cat),
        "saved again": kept(cat, quality=40),
        "half": kept(cat.resize((cat.width // 2, cat.height // 2))),
        "brighter": kept(ImageEnhance.Brightness(cat).enhance(1.1)),
        "cut and poor": kept(cat.crop((5, 3, cat.width - 5, cat.height - 3)), quality=15),
        "mirrored": kept(cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "black": kept(Image.new("RGB", (300, 200))),
        "white": kept(Image.new("RGB", (300, 200), "white")),
    }
    for number, picture in enumerate(pictures.values()):
        save(database, tmp_path, said(number), picture)
    joined = {name for name, picture in pictures.items() if same_as(database, picture.sha256)}
    assert joined == {"saved again", "half", "brighter", "cut and poor"}
    assert {same_as(database, pictures[name].sha256) for name in joined} == {pictures["original"].sha256}


def test_those_joined_to_a_picture_that_goes_stay_together(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    first, second, third = kept(cat), kept(cat, quality=40), kept(cat, quality=60)
    ids = [save(database, tmp_path, said(n), picture).id for n, picture in enumerate((first, second, third))]
    take_back(database, tmp_path, ids[0])
    assert not path_of(tmp_path, first.sha256).exists()
    assert same_as(database, second.sha256) is None
    assert same_as(database, third.sha256) == second.sha256
