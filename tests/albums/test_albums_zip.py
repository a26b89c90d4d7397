"""A zip into an album: its folders become classes, and nothing in it leads anywhere else."""

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.photos import album_zip
from app.photos.album_zip import upload_folder
from tests.albums.asking import check, counts, models_of, send_zip
from tests.albums.photos import jpeg
from tests.asking import refused


def test_a_zip_s_folders_become_classes_and_known_ones_are_found_again(admin: FlaskClient, key: str) -> None:
    entries = {f"my things/Cat/{seed}.jpg": jpeg(seed) for seed in range(3)}
    entries |= {"my things/狗/100.jpg": jpeg(100), "my things/鸟/deep/down/200.jpg": jpeg(200)}
    entries |= {"my things/Cat/broken.jpg": b"no", "my things/Cat/notes.md": b"x", "__MACOSX/Cat/._0.jpg": b"x"}
    answer = send_zip(admin, key, entries)
    assert answer.status_code == 200
    check(admin, "ZipResult", answer.json)
    assert (answer.json["added"], answer.json["already"]) == (5, 0)
    assert [(one["filename"], one["code"]) for one in answer.json["refused"]] == [
        ("Cat/broken.jpg", "unsupported_format")
    ]
    assert counts(answer.json["album"]) == {"cat": 3, "dog": 1, "鸟": 1}
    again = send_zip(admin, key, entries).json
    assert (again["added"], again["already"]) == (0, 5)


def test_a_zip_from_a_chinese_windows_names_its_classes_in_gbk(admin: FlaskClient, key: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for place in ("AA", "BB"):
            archive.writestr(f"{place}/1.jpg", jpeg(ord(place[0])))
    raw = packed.getvalue().replace(b"AA/", "苹".encode("gbk") + b"/").replace(b"BB/", "梨".encode("gbk") + b"/")
    answer = admin.post(f"/api/albums/{key}/zip", data={"file": (io.BytesIO(raw), "a.zip")})
    assert counts(answer.json["album"]) == {"cat": 0, "dog": 0, "苹": 1, "梨": 1}


def _link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("cat/link.jpg")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


HOSTILE: dict[str, Callable[[zipfile.ZipFile], None]] = {
    "upwards": lambda archive: archive.writestr("../../cat/up.jpg", jpeg(1)),
    "absolute": lambda archive: archive.writestr("/tmp/cat/abs.jpg", jpeg(1)),
    "windows": lambda archive: archive.writestr("..\\cat\\up.jpg", jpeg(1)),
    "link": _link,
    "deep": lambda archive: archive.writestr("a/" * 1500 + "cat/deep.jpg", jpeg(1)),
    "a long name": lambda archive: archive.writestr("cat/" + "x" * 300 + ".jpg", jpeg(1)),
    "upwards by both slashes": lambda archive: archive.writestr("cat\\..\\../up.jpg", jpeg(1)),
    "no classes": lambda archive: archive.writestr("alone.jpg", jpeg(1)),
    "empty": lambda archive: None,
    "list that leads out": lambda archive: archive.writestr("train.txt", f"cat/fine.jpg 0\n{__file__}.jpg 1\n"),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_a_hostile_or_useless_zip_is_refused_whole_in_the_reader_s_language(
    trick: str, admin: FlaskClient, key: str, registry: Flask
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        if trick not in ("no classes", "empty"):
            archive.writestr("cat/fine.jpg", jpeg(0))
        HOSTILE[trick](archive)
    form = {"file": (io.BytesIO(packed.getvalue()), "a.zip")}
    told = admin.post(f"/api/albums/{key}/zip", data=form, headers={"Accept-Language": "zh"})
    assert refused(told, 422, "bad_archive").detail.startswith("这个压缩包无法使用")
    assert str(models_of(registry)) not in told.text
    in_english = admin.post(f"/api/albums/{key}/zip", data={"file": (io.BytesIO(packed.getvalue()), "a.zip")})
    assert str(models_of(registry)) not in refused(in_english, 422, "bad_archive").detail
    assert counts(admin.get(f"/api/albums/{key}").json) == {"cat": 0, "dog": 0}
    assert not list((models_of(registry) / ".albums" / ".uploads").iterdir())


def test_what_only_calls_itself_a_zip_is_refused(admin: FlaskClient, key: str) -> None:
    for content in (b"PK\x03\x04 and no more", b"", jpeg(0)):
        answer = admin.post(f"/api/albums/{key}/zip", data={"file": (io.BytesIO(content), "a.zip")})
        refused(answer, 422, "bad_archive")


def test_a_zip_that_unpacks_to_far_more_than_it_is_leaves_nothing(
    admin: FlaskClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(album_zip, "MAX_BYTES", 1_000_000)
    refused(send_zip(admin, key, {"cat/zeros.jpg": bytes(2_000_000)}), 422, "bad_archive")
    monkeypatch.setattr(album_zip, "MAX_FILE_BYTES", 100_000)
    told = send_zip(admin, key, {"cat/zeros.jpg": bytes(200_000), "cat/1.jpg": jpeg(1)}).json
    assert [one["code"] for one in told["refused"]] == ["too_large"]
    assert told["added"] == 1


def test_a_zip_in_a_zip_stays_packed(admin: FlaskClient, key: str) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/zeros.jpg", bytes(1_000_000))
    told = send_zip(admin, key, {"cat/inner.zip": inner.getvalue(), "cat/1.jpg": jpeg(1)}).json
    assert (told["added"], told["refused"]) == (1, [])


def test_a_class_name_of_a_zip_that_is_too_long_costs_its_photos_only(admin: FlaskClient, key: str) -> None:
    told = send_zip(admin, key, {f"{'x' * 61}/1.jpg": jpeg(1), "cat/2.jpg": jpeg(2)}).json
    assert (told["added"], [one["code"] for one in told["refused"]]) == (1, ["bad_parameter"])


def test_an_upload_under_way_stays_whatever_the_clock_says_and_an_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".albums" / ".uploads" / "left"
    left.mkdir(parents=True)
    now = time.time()
    with upload_folder(tmp_path) as first:
        monkeypatch.setattr(time, "time", lambda: now + 2 * 86_400)
        with upload_folder(tmp_path) as second:
            assert first.is_dir()
            assert second.is_dir()
            assert not left.exists()
