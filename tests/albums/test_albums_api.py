"""Albums over HTTP: for the administrator alone, and every photo answered for by itself."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import ExifTags, Image

from tests.albums.asking import check, counts, models_of, send
from tests.albums.photos import jpeg
from tests.asking import refused
from tests.conftest import write_head


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", ""), ("post", ""), ("get", "/pets"), ("patch", "/pets"), ("delete", "/pets"), ("post", "/pets/classes"),
        ("patch", "/pets/classes/c1"), ("delete", "/pets/classes/c1"), ("post", "/pets/classes/c1/photos"),
        ("post", "/pets/photos/move"), ("post", "/pets/photos/remove"), ("post", "/pets/photos/restore"),
        ("get", f"/pets/photos/{'0' * 16}"), ("post", "/pets/zip"), ("get", "/pets/findings"), ("post", "/pets/train"),
    ],
)  # fmt: skip
def test_nothing_of_an_album_is_for_strangers(method: str, path: str, registry: Flask, admin: FlaskClient) -> None:
    refused(getattr(registry.test_client(), method)(f"/api/albums{path}"), 403, "forbidden")
    if path:
        assert getattr(admin, method)(f"/api/albums{path}", json={}).status_code in (400, 404)


def test_an_album_is_made_shown_renamed_and_deleted(admin: FlaskClient) -> None:
    made = admin.post("/api/albums", json={"title_en": "Bottles", "title_zh": "瓶子"})
    assert made.status_code == 201
    check(admin, "AlbumShown", made.json)
    assert (made.json["key"], made.json["photos"], made.json["job"]) == ("bottles", 0, None)
    assert made.json["problem"]["zh"] == "请至少建立两个类别，才能加以区分。"
    listed = admin.get("/api/albums").json
    check(admin, "Albums", listed)
    assert listed == {
        "can_teach": True,
        "albums": [
            {
                "key": "bottles", "title_en": "Bottles", "title_zh": "瓶子", "classes": 0, "photos": 0, "job": None,
                "active": None,
            }
        ],
    }  # fmt: skip
    assert admin.patch("/api/albums/bottles", json={"title_en": "Jars"}).json["title_en"] == "Jars"
    assert admin.delete("/api/albums/bottles").json == {"can_teach": True, "albums": []}
    refused(admin.get("/api/albums/bottles"), 404, "not_found")


def test_a_mode_without_an_album_keeps_its_key(registry: Flask, admin: FlaskClient) -> None:
    write_head(models_of(registry), "birds", registry.extensions["recogniser"].mode("imagenet"), ["a", "b"])
    told = refused(admin.post("/api/albums", json={"title_en": "Birds", "key": "birds"}), 409, "conflict")
    assert told.detail == "The name 'birds' is taken by another mode: please choose another."


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("", {}, "title_en"),
        ("", {"title_en": "x" * 61}, "title_en"),
        ("", {"title_en": "A", "key": "../x"}, "key"),
        ("", {"titel": "A"}, "titel"),
        ("", [], "body"),
        ("/{key}/classes", {"label": " "}, "label"),
        ("/{key}/classes", {"label": 7}, "label"),
        ("/{key}/photos/move", {"photos": ["../../x"], "to": "c1"}, "photos"),
        ("/{key}/photos/move", {"photos": []}, "to"),
        ("/{key}/photos/remove", {"photos": "all"}, "photos"),
        ("/{key}/train", {"resume": "perhaps"}, "resume"),
        ("/{key}/zip", {}, "file"),
    ],
)
def test_a_wrong_order_is_refused_by_the_name_of_what_is_wrong(
    path: str, body: Any, name: str, admin: FlaskClient, key: str
) -> None:
    told = refused(admin.post(f"/api/albums{path.format(key=key)}", json=body), 400, "bad_parameter")
    assert f"'{name}'" in told.detail


def test_classes_are_made_renamed_and_deleted_and_names_are_their_own(admin: FlaskClient, key: str) -> None:
    made = admin.post(f"/api/albums/{key}/classes", json={"label_zh": "鸟"})
    assert made.status_code == 201
    assert [(one["id"], one["label"]) for one in made.json["classes"]] == [("c1", "cat"), ("c2", "dog"), ("c3", "鸟")]
    told = admin.post(f"/api/albums/{key}/classes", json={"label": "CAT"}, headers={"Accept-Language": "zh"})
    assert (told.status_code, told.json["detail"]) == (409, "已经有名为“CAT”的类别。")
    named = admin.patch(f"/api/albums/{key}/classes/c3", json={"label": "bird"}).json["classes"][2]
    assert (named["label"], named["label_zh"]) == ("bird", "鸟")
    assert len(admin.delete(f"/api/albums/{key}/classes/c3").json["classes"]) == 2
    refused(admin.delete(f"/api/albums/{key}/classes/c3"), 404, "not_found")


def test_each_photo_has_a_result_of_its_own(admin: FlaskClient, key: str) -> None:
    send(admin, key, "c2", jpeg(2))
    answer = send(admin, key, "c1", jpeg(0), b"no picture", jpeg(0), jpeg(2), jpeg(1)[:900], b"")
    assert answer.status_code == 200
    check(admin, "PhotoResults", answer.json)
    results = answer.json["results"]
    assert [result["filename"] for result in results] == [f"{number}.jpg" for number in range(6)]
    assert [result["already"] for result in results] == [False, False, True, True, False, False]
    assert [(result["error"] or {}).get("code") for result in results] == [
        None, "unsupported_format", None, "conflict", "unreadable_image", "no_file"
    ]  # fmt: skip
    assert results[0]["photo"] == results[2]["photo"]
    assert (results[0]["photo"]["width"], results[0]["photo"]["height"]) == (240, 200)
    assert counts(admin.get(f"/api/albums/{key}").json) == {"cat": 1, "dog": 1}
    refused(admin.post(f"/api/albums/{key}/classes/c1/photos"), 400, "no_file")
    refused(send(admin, key, "c9", jpeg(0)), 404, "not_found")


def test_a_photo_is_kept_upright_small_and_without_what_a_camera_writes(
    admin: FlaskClient, key: str, cat: Image.Image, encode: Callable[..., bytes]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "A camera of mine"
    turned = encode(cat.resize((2000, 1000)), exif=exif)
    (result,) = send(admin, key, "c1", turned).json["results"]
    assert (result["photo"]["width"], result["photo"]["height"]) == (512, 1024)
    answer = admin.get(f"/api/albums/{key}/photos/{result['photo']['id']}")
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert b"camera" not in answer.data
    with Image.open(io.BytesIO(answer.data)) as image:
        assert (image.format, image.size, dict(image.getexif())) == ("JPEG", (512, 1024), {})
    small = admin.get(f"/api/albums/{key}/photos/{result['photo']['id']}?size=small")
    assert small.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    with Image.open(io.BytesIO(small.data)) as image:
        assert max(image.size) == 240
    refused(admin.get(f"/api/albums/{key}/photos/..%2f..%2falbum.json"), 404, "not_found")
    refused(admin.get(f"/api/albums/{key}/photos/{'0' * 16}"), 404, "not_found")


def test_photos_are_moved_removed_and_restored(admin: FlaskClient, key: str) -> None:
    send(admin, key, "c1", *(jpeg(seed) for seed in range(4)))
    ids = [photo["id"] for photo in admin.get(f"/api/albums/{key}").json["classes"][0]["photos"]]
    moved = admin.post(f"/api/albums/{key}/photos/move", json={"photos": ids[:1], "to": "c2"}).json
    check(admin, "AlbumShown", moved)
    assert counts(moved) == {"cat": 3, "dog": 1}
    assert counts(admin.post(f"/api/albums/{key}/photos/remove", json={"photos": ids[:2]}).json) == {"cat": 2, "dog": 0}
    assert counts(admin.post(f"/api/albums/{key}/photos/restore", json={"photos": ids}).json) == {"cat": 3, "dog": 1}
    refused(admin.post(f"/api/albums/{key}/photos/move", json={"photos": ids, "to": "c7"}), 404, "not_found")


def test_nothing_of_what_a_hostile_or_broken_file_is_made_of_gets_in(
    admin: FlaskClient, key: str, shared: Path
) -> None:
    files = sorted(path for path in (shared / "awkward").iterdir() if not path.name.startswith(("LICENSE", "manifest")))
    for path in files:
        answer = send(admin, key, "c1", path.read_bytes())
        assert answer.status_code == 200, path.name
    album = admin.get(f"/api/albums/{key}").json
    assert 20 < album["photos"] < len(files)
    for photo in album["classes"][0]["photos"]:
        kept = admin.get(f"/api/albums/{key}/photos/{photo['id']}").data
        with Image.open(io.BytesIO(kept)) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (photo["width"], photo["height"]))
    assert admin.get(f"/api/albums/{key}/findings").status_code == 200
