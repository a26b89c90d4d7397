"""A version's report in a browser's hands, and a photo tried on a version that does not serve yet."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from app import create_app
from app.config import Settings
from app.registry.library import decide_threshold
from tests.conftest import write_head

TOKEN = "let me in"
ANIMALS = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    models = tmp_path_factory.mktemp("models")
    app = create_app(Settings(models_dir=models, admin_token=TOKEN), wait=True)
    app.testing = False
    manager = app.extensions["recogniser"].manager
    for version, labels in (("v1", ["dog", "owl"]), ("v2", ANIMALS)):
        write_head(models, "animals", manager.mode("imagenet"), labels, version=version)
    (models / "animals" / "v2" / "report.html").write_text("<!doctype html><title>Report</title>", encoding="utf-8")
    (models / "animals" / "v2" / "report.json").write_text('{"version": "v2"}', encoding="utf-8")
    manager.refresh()
    yield app
    for name in ("recogniser", "upkeep", "counts", "database"):
        app.extensions[name].close()


@pytest.fixture
def admin(registry: Flask) -> FlaskClient:
    client = registry.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    return client


def tried(client: FlaskClient, version: str, picture: bytes, **fields: str) -> dict:
    data = {"file": (io.BytesIO(picture), "cat.jpg"), **fields}
    answer = client.post(f"/api/modes/animals/versions/{version}/try", data=data)
    assert answer.status_code == 200, answer.json
    return answer.json


def test_a_version_that_is_not_in_service_answers_as_predict_does(admin: FlaskClient, cat_jpeg: bytes) -> None:
    answer = tried(admin, "v2", cat_jpeg)
    assert (answer["mode"], answer["model"]["version"]) == ("animals", "v2")
    assert {guess["label"] for guess in answer["results"][0]["top"]} == set(ANIMALS)
    document = admin.get("/openapi.json").json
    described = {"$ref": "#/components/schemas/Prediction", "components": document["components"]}
    Draft202012Validator(described).validate(answer)
    active = tried(admin, "v1", cat_jpeg)
    plain = admin.post("/predict?mode=animals", data={"file": (io.BytesIO(cat_jpeg), "cat.jpg")}).json
    assert active["results"] == plain["results"]


def test_trying_counts_nowhere(registry: Flask, admin: FlaskClient, cat_jpeg: bytes) -> None:
    def counted() -> object:
        registry.extensions["counts"].flush()
        return admin.get("/api/modes/animals/trial").json

    before, metrics = counted(), admin.get("/metrics").text.count('mode="animals"')
    for version in ("v1", "v2"):
        tried(admin, version, cat_jpeg)
    assert counted() == before
    assert admin.get("/metrics").text.count('mode="animals"') == metrics


def test_many_may_try_at_once_and_the_version_is_loaded_once(
    registry: Flask, admin: FlaskClient, cat_jpeg: bytes
) -> None:
    manager = registry.extensions["recogniser"].manager
    with ThreadPoolExecutor(8) as pool:
        modes = list(pool.map(lambda _: manager.version("animals", "v2"), range(16)))
    assert len({id(mode) for mode in modes}) == 1
    assert modes[0].backbone is manager.mode("imagenet").backbone


def test_the_threshold_that_is_set_now_decides(registry: Flask, admin: FlaskClient, cat_jpeg: bytes) -> None:
    assert tried(admin, "v2", cat_jpeg)["threshold"] == 0.5
    models = registry.extensions["settings"].models_dir
    decide_threshold(models, "animals", "v2", 0.25, by="a test", why="")
    assert tried(admin, "v2", cat_jpeg)["threshold"] == 0.25
    assert tried(admin, "v2", cat_jpeg, threshold="1")["results"][0]["unknown"] is True


def test_only_the_administrator_tries_and_reads(registry: Flask, cat_jpeg: bytes) -> None:
    client = registry.test_client()
    assert client.post("/api/modes/animals/versions/v2/try", data=cat_jpeg).status_code == 403
    assert client.get("/api/modes/animals/versions/v2/report").status_code == 403
    assert client.get("/api/modes/animals/versions/v2/report.json").status_code == 403


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("animals/versions/v9/try", "unknown_version"),
        ("animals/versions/..%2Fv1/try", "not_found"),
        ("nothing/versions/v1/try", "unknown_mode"),
        ("imagenet/versions/v1/try", "conflict"),
        ("animals/versions/v2/try", "no_file"),
    ],
)
def test_what_cannot_be_tried_is_refused(admin: FlaskClient, path: str, code: str) -> None:
    assert admin.post(f"/api/modes/{path}").json["code"] == code


def test_a_damaged_version_says_so(registry: Flask, admin: FlaskClient, cat_jpeg: bytes) -> None:
    models: Path = registry.extensions["settings"].models_dir
    base = registry.extensions["recogniser"].mode("imagenet")
    (write_head(models, "animals", base, ANIMALS, version="v3") / "head.safetensors").write_bytes(b"nothing")
    data = {"file": (io.BytesIO(cat_jpeg), "cat.jpg")}
    assert admin.post("/api/modes/animals/versions/v3/try", data=data).json["code"] == "bad_model"


def test_the_report_is_read_in_a_frame_of_ours_and_can_do_nothing_else(admin: FlaskClient) -> None:
    with admin.get("/api/modes/animals/versions/v2/report") as page:
        assert page.mimetype == "text/html"
        assert "<title>Report</title>" in page.text
        policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert "default-src 'none'" in policy
    assert "allow-same-origin" not in policy
    with admin.get("/api/modes/animals/versions/v2/report.json") as facts:
        assert facts.json == {"version": "v2"}
    assert admin.get("/api/modes/animals/versions/v1/report").json["code"] == "not_found"
