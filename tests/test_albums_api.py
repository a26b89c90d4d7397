"""Albums over HTTP: for the administrator alone, every photo answered for by itself, and from nothing to a mode."""

import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from PIL import ExifTags, Image, ImageDraw

from app import create_app
from app.config import Settings
from app.photos import album_zip
from app.registry import jobs
from tests.album_photos import jpeg
from tests.asking import refused
from tests.conftest import write_head
from tests.test_jobs import ended


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = create_app(Settings(models_dir=tmp_path_factory.mktemp("models"), admin_token="let me in"), wait=True)
    app.testing = False
    yield app
    for name in ("recogniser", "upkeep", "counts", "database"):
        app.extensions[name].close()


@pytest.fixture
def admin(registry: Flask) -> FlaskClient:
    client = registry.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer let me in"
    return client


@pytest.fixture
def key(admin: FlaskClient) -> Iterator[str]:
    """An album of two empty classes, c1 cat 猫 and c2 dog 狗."""
    made: str = admin.post("/api/albums", json={"title_en": "Pets", "title_zh": "宠物"}).json["key"]
    for label, label_zh in (("cat", "猫"), ("dog", "狗")):
        admin.post(f"/api/albums/{made}/classes", json={"label": label, "label_zh": label_zh})
    yield made
    admin.delete(f"/api/albums/{made}")


def models_of(app: Flask) -> Path:
    path: Path = app.extensions["settings"].models_dir
    return path


def send(admin: FlaskClient, key: str, class_id: str, *photos: bytes) -> Any:
    files = [(io.BytesIO(photo), f"{number}.jpg") for number, photo in enumerate(photos)]
    return admin.post(f"/api/albums/{key}/classes/{class_id}/photos", data={"file": files})


def send_zip(admin: FlaskClient, key: str, entries: dict[str, bytes]) -> Any:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return admin.post(f"/api/albums/{key}/zip", data={"file": (io.BytesIO(packed.getvalue()), "photos.zip")})


def counts(album: dict[str, Any]) -> dict[str, int]:
    return {one["label"]: len(one["photos"]) for one in album["classes"]}


def check(admin: FlaskClient, schema: str, body: Any) -> None:
    """The answer is as `/openapi.json` says."""
    document = admin.get("/openapi.json").json
    described = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    Draft202012Validator(described).validate(json.loads(json.dumps(body)))


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


# A zip


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


def test_a_class_name_of_a_zip_that_is_too_long_costs_its_photos_only(admin: FlaskClient, key: str) -> None:
    told = send_zip(admin, key, {f"{'x' * 61}/1.jpg": jpeg(1), "cat/2.jpg": jpeg(2)}).json
    assert (told["added"], [one["code"] for one in told["refused"]]) == (1, ["bad_parameter"])


# Findings and training


def test_findings_come_as_the_page_needs_them(admin: FlaskClient, key: str) -> None:
    send(admin, key, "c1", *(jpeg(seed) for seed in range(3)))
    send(admin, key, "c2", *(jpeg(seed) for seed in range(100, 102)))
    found = admin.get(f"/api/albums/{key}/findings").json
    check(admin, "Findings", found)
    (few,) = found["findings"]
    assert (few["kind"], few["photos"]) == ("too_few", [])
    assert few["zh"].startswith("照片偏少：猫 3 张、狗 2 张。")


def test_training_is_refused_while_something_is_missing(admin: FlaskClient, key: str) -> None:
    told = refused(admin.post(f"/api/albums/{key}/train", json={}), 409, "not_enough")
    assert told.detail == "The class 'cat' has no photos yet: add some, or delete the class."


def test_a_server_without_what_training_needs_says_so(
    admin: FlaskClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert admin.get("/api/albums").json["can_teach"] is False
    told = refused(admin.post(f"/api/albums/{key}/train"), 503, "cannot_teach")
    assert "make teach" in told.detail


def drawn(number: int, seed: int) -> bytes:
    """A photo-like drawing of the thing `number`: its shape and colour, elsewhere and otherwise each time."""
    generator = np.random.default_rng(1000 * number + seed)
    ground = generator.integers(150, 230, (6, 8, 3)).astype(np.uint8)
    image = Image.fromarray(ground).resize((640, 480), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    x, y, r = generator.integers(200, 440), generator.integers(160, 320), generator.integers(90, 150)
    shades = ((200, 40, 40), (40, 150, 60), (40, 70, 190), (230, 180, 30), (90, 50, 110))
    colour = tuple(part + int(generator.integers(-20, 20)) for part in shades[number])
    box = (x - r, y - r, x + r, y + r)
    if number == 0:
        draw.ellipse(box, fill=colour)
    elif number == 1:
        draw.rectangle(box, fill=colour)
    elif number == 2:
        draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=colour)
    elif number == 3:
        draw.ellipse(box, outline=colour, width=30)
    else:
        for step in range(-r, r, 45):
            draw.rectangle((x - r, y + step, x + r, y + step + 20), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


THINGS = (("ball", "球"), ("box", "盒子"), ("tent", "帐篷"), ("ring", "环"), ("ladder", "梯子"))


@pytest.mark.slow
def test_from_nothing_to_a_mode_that_recognises_five_things(registry: Flask, admin: FlaskClient) -> None:
    models = models_of(registry)
    began = time.monotonic()
    key = admin.post("/api/albums", json={"title_en": "Toys", "title_zh": "玩具"}).json["key"]
    for number, (label, label_zh) in enumerate(THINGS):
        admin.post(f"/api/albums/{key}/classes", json={"label": label, "label_zh": label_zh})
        photos = [drawn(number, seed) for seed in range(20)]
        results = send(admin, key, f"c{number + 1}", *photos).json["results"]
        assert all(result["error"] is None for result in results)
    sent = time.monotonic()
    assert admin.get(f"/api/albums/{key}").json["problem"] is None
    assert admin.get(f"/api/albums/{key}/findings").status_code == 200
    removed = admin.get(f"/api/albums/{key}").json["classes"][0]["photos"][0]["id"]
    admin.post(f"/api/albums/{key}/photos/remove", json={"photos": [removed]})
    looked = time.monotonic()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELS_DIR", str(models))
        begun = admin.post(f"/api/albums/{key}/train", json={})
        refused(admin.post(f"/api/albums/{key}/train", json={}), 409, "conflict")
        some = [photo["id"] for photo in admin.get(f"/api/albums/{key}").json["classes"][0]["photos"][:1]]
        for change in (
            admin.post(f"/api/albums/{key}/photos/move", json={"photos": some, "to": "c2"}),
            admin.post(f"/api/albums/{key}/photos/remove", json={"photos": some}),
            admin.delete(f"/api/albums/{key}/classes/c1"),
            admin.delete(f"/api/albums/{key}"),
        ):
            refused(change, 409, "conflict")  # the training reads these files
    assert begun.status_code == 202
    check(admin, "StartedJob", begun.json)
    ended(models, jobs.read_job(models, begun.json["id"]), limit_s=900)  # jobs take what others leave over
    told = admin.get(f"/api/jobs/{begun.json['id']}").json
    took = {"upload": sent - began, "findings": looked - sent, "training": time.monotonic() - looked}
    print({name: round(seconds, 1) for name, seconds in took.items()})
    assert (told["state"], told["kind"], told["result"]["active"]) == ("done", "train", True), told
    assert 10 <= sum(told["result"]["data"]["counts"]["test"]) <= 30
    album = admin.get(f"/api/albums/{key}").json
    assert (album["versions"], album["active"], album["job"]) == (["v1"], "v1", begun.json["id"])
    restored = admin.post(f"/api/albums/{key}/photos/restore", json={"photos": [removed]}).json
    assert counts(restored)["ball"] == 19, "a training makes removing final"
    registry.extensions["recogniser"].manager.refresh()
    for number, (label, label_zh) in enumerate(THINGS):
        form = {"file": (io.BytesIO(drawn(number, 99)), "new.jpg"), "mode": key, "threshold": "0"}
        answer = admin.post("/predict", data=form).json["results"][0]
        assert (answer["label"], answer["label_zh"]) == (label, label_zh)
    history = admin.get(f"/api/modes/{key}/history").json["history"]
    assert history[0]["by"] == "the administrator, from 127.0.0.1"
    title = next(mode for mode in admin.get("/modes").json["modes"] if mode["key"] == key)
    assert "玩具" in json.dumps(title, ensure_ascii=False)
