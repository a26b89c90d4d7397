"""`POST /api/modes/<mode>/classes`: a class added within the request, and served at once where it is asked for."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from app import create_app
from app.config import Settings
from app.photos.snapshot import read_snapshot, written
from tests.adding import photo
from tests.asking import post, refused
from tests.conftest import write_head

YELLOW = [photo("yellow", number) for number in range(6)]
OTHERS = [photo("yellow", number) for number in range(20, 24)]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = create_app(Settings(models_dir=tmp_path_factory.mktemp("models"), admin_token="let me in"), wait=True)
    app.testing = False
    manager = app.extensions["recogniser"].manager
    base = manager.mode("imagenet")
    folder = write_head(models_of(app), "colours", base, ["red", "green", "blue"], ["红", "绿", "蓝"])
    (folder / "photos.csv").write_bytes(written([]))
    manager.refresh()
    yield app
    app.extensions["recogniser"].close()
    app.extensions["database"].close()


@pytest.fixture
def admin(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer let me in"
    return client


def models_of(app: Flask) -> Path:
    settings: Settings = app.extensions["settings"]
    return settings.models_dir


def send(client: FlaskClient, *photos: bytes, mode: str = "colours", **fields: str) -> Any:
    files = [(io.BytesIO(data), f"{number}.png") for number, data in enumerate(photos)]
    return client.post(f"/api/modes/{mode}/classes", data={"file": files, **fields})


def test_without_the_token_nothing_is_added(app: Flask) -> None:
    refused(send(app.test_client(), *YELLOW, label="yellow"), 403, "forbidden")


def test_a_class_is_added_waits_and_keeps_its_photos_as_pixels_only(app: Flask, admin: FlaskClient) -> None:
    response = send(admin, *YELLOW[:5], label=" violet ", label_zh="紫色")
    assert response.status_code == 201, response.json
    body = response.json
    document = admin.get("/openapi.json").json
    described = {"$ref": "#/components/schemas/AddedClass", "components": document["components"]}
    Draft202012Validator(described).validate(json.loads(json.dumps(body)))
    assert (body["label"], body["photos"], body["active"], body["parent"]) == ("violet", 5, False, "v1")
    assert admin.get("/api/modes/colours").json["active"] == "v1"
    kept = sorted((models_of(app) / ".classes" / "colours").iterdir())
    assert len(kept) == 5
    assert all(path.read_bytes()[:3] == b"\xff\xd8\xff" for path in kept)
    listed = read_snapshot(models_of(app) / "colours" / body["version"]) or ()
    assert sorted(photo.path for photo in listed) == [path.resolve() for path in kept]
    assert all(photo.is_there() for photo in listed)


def test_promoted_at_once_it_answers_the_next_picture(admin: FlaskClient) -> None:
    body = send(admin, *YELLOW, label="yellow", label_zh="黄色", promote="1").json
    assert body["active"] is True, body
    answer = post(admin, photo("yellow", 40), mode="colours", threshold="0").json
    assert answer["model"]["version"] == body["version"]
    assert answer["results"][0]["label"] == "yellow"
    assert answer["results"][0]["label_zh"] == "黄色"
    served = next(mode for mode in admin.get("/modes").json["modes"] if mode["key"] == "colours")
    assert [label["label"] for label in served["labels"]] == ["red", "green", "blue", "yellow"]
    refused(send(admin, *YELLOW, label="Yellow"), 409, "conflict")


@pytest.mark.parametrize(
    ("photos", "fields", "status", "code"),
    [
        ([], {"label": "pink"}, 400, "no_file"),
        (YELLOW[:5], {}, 400, "bad_parameter"),
        (YELLOW[:5], {"label": "pink", "promote": "yes"}, 400, "bad_parameter"),
        (YELLOW[:3], {"label": "pink"}, 422, "too_few_photos"),
        ([*YELLOW[:4], b"no photo"], {"label": "pink"}, 422, "too_few_photos"),
        (YELLOW[:5], {"label": "RED"}, 409, "conflict"),
        (YELLOW[:5], {"label": "pink", "mode": "fish"}, 404, "unknown_mode"),
        (YELLOW[:5], {"label": "pink", "mode": "imagenet"}, 409, "conflict"),
    ],
)
def test_what_cannot_be_added_is_refused(
    admin: FlaskClient, photos: list[bytes], fields: dict[str, str], status: int, code: str
) -> None:
    problem = refused(send(admin, *photos, **fields), status, code)
    assert str(problem.detail)


def test_what_is_wrong_with_a_photo_is_told_in_the_callers_language(admin: FlaskClient) -> None:
    files = [(io.BytesIO(data), f"{number}.png") for number, data in enumerate([*OTHERS, b"no photo"])]
    response = admin.post("/api/modes/colours/classes?lang=zh", data={"file": files, "label": "pink"})
    assert "4.png" in response.json["detail"]
    assert "可用的只有 4 张" in response.json["detail"]
