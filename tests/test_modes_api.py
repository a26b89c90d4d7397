"""`/api/modes…`: the registry over HTTP, closed to strangers, with answers that fit their description."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from torch import nn

from app import create_app
from app.config import Settings
from app.registry.versions import HEAD, MANIFEST
from app.serving.switching import promote
from tests.asking import refused
from tests.conftest import write_head

TOKEN = {"Authorization": "Bearer let me in"}
LITE0_FEATURES = 1280


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = create_app(Settings(models_dir=tmp_path_factory.mktemp("models"), admin_token="let me in"), wait=True)
    yield app
    app.extensions["recogniser"].close()


@pytest.fixture
def models(registry: Flask) -> Iterator[Path]:
    """A mode of three versions, v2 active after v1; removed afterwards."""
    import shutil

    settings: Settings = registry.extensions["settings"]
    manager = registry.extensions["recogniser"].manager
    for version in ("v1", "v2", "v3"):
        write_head(settings.models_dir, "birds", manager.mode("imagenet"), ["owl", "kite"], version=version)
    promote(settings, "birds", "v2", by="ann", why="better", check=manager.check)
    manager.refresh()
    yield settings.models_dir
    for folder in settings.models_dir.glob("[!.]*/"):
        shutil.rmtree(folder)
    manager.refresh()


@pytest.fixture
def admin(registry: Flask, models: Path) -> FlaskClient:
    client = registry.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = TOKEN["Authorization"]
    return client


def fits(client: FlaskClient, body: Any, schema: str) -> Any:
    document = client.get("/openapi.json").json
    described = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    Draft202012Validator(described).validate(json.loads(json.dumps(body)))
    return body


def upload(name: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"data": {"file": (io.BytesIO(data), name), **more}}


def head() -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(LITE0_FEATURES, 2).state_dict(), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/modes"),
        ("GET", "/api/modes/birds"),
        ("GET", "/api/modes/birds/history"),
        ("POST", "/api/modes/birds/rollback"),
        ("DELETE", "/api/modes/birds/versions/v3"),
        ("POST", "/api/modes/birds/import"),
    ],
)
def test_without_the_token_nothing_is_told_or_changed(registry: Flask, models: Path, method: str, path: str) -> None:
    client = registry.test_client()
    refused(client.open(path, method=method), 403, "forbidden")
    refused(client.open(path, method=method, headers={"Authorization": "Bearer guess"}), 403, "forbidden")
    assert (models / "birds" / "v3").is_dir()


def test_modes_and_versions_are_listed(admin: FlaskClient) -> None:
    (mode,) = fits(admin, admin.get("/api/modes").json, "RegisteredModes")["modes"]
    assert (mode["key"], mode["active"], mode["problem"]) == ("birds", "v2", None)
    assert [version["version"] for version in mode["versions"]] == ["v1", "v2", "v3"]
    assert fits(admin, admin.get("/api/modes/birds").json, "ModeRecord") == mode
    refused(admin.get("/api/modes/fish"), 404, "unknown_mode")


def test_the_history_tells_what_served_at_a_time(admin: FlaskClient) -> None:
    body = fits(admin, admin.get("/api/modes/birds/history").json, "History")
    assert body["served"]["version"] == "v2"
    first, second = body["history"]
    then = fits(admin, admin.get("/api/modes/birds/history", query_string={"at": first["at"]}).json, "History")
    if first["at"] < second["at"]:
        assert then["served"]["version"] == "v1"
    before = admin.get("/api/modes/birds/history?at=2001-01-01").json
    assert (before["served"], before["history"]) == (None, [])
    refused(admin.get("/api/modes/birds/history?at=yesterday"), 400, "bad_parameter")


def test_a_rollback_is_followed_and_says_by_whom(admin: FlaskClient, registry: Flask) -> None:
    manager = registry.extensions["recogniser"].manager
    assert manager.mode("birds").model.version == "v2"
    event = admin.post("/api/modes/birds/rollback", json={"why": "odd answers"}).json
    fits(admin, event, "Event")
    assert (event["version"], event["before"], event["why"]) == ("v1", "v2", "odd answers")
    assert event["by"] == "the administrator, from 127.0.0.1"
    manager.refresh()
    assert manager.mode("birds").model.version == "v1"
    refused(admin.post("/api/modes/birds/rollback"), 409, "conflict")
    assert admin.post("/api/modes/birds/rollback", json={"to": "v2"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": "v9"}, 404, "unknown_version"),
        ({"to": "v3"}, 409, "conflict"),
        ({"to": 3}, 400, "bad_parameter"),
        ({"back": "v1"}, 400, "bad_parameter"),
        (["v1"], 400, "bad_parameter"),
    ],
)
def test_a_rollback_that_cannot_be_changes_nothing(admin: FlaskClient, body: Any, status: int, code: str) -> None:
    refused(admin.post("/api/modes/birds/rollback", json=body), status, code)
    refused(admin.post("/api/modes/birds/rollback", data="to=v1"), 400, "bad_parameter")
    assert admin.get("/api/modes/birds").json["active"] == "v2"


def test_a_damaged_version_is_not_gone_back_to_and_no_path_is_told(admin: FlaskClient, models: Path) -> None:
    (models / "birds" / "v1" / HEAD).write_bytes(b"rubbish")
    problem = refused(admin.post("/api/modes/birds/rollback"), 422, "bad_model")
    assert "birds@v1 cannot be made active" in problem.detail
    assert str(models) not in problem.detail


def test_a_version_is_deleted_unless_it_is_in_use(admin: FlaskClient) -> None:
    mode = fits(admin, admin.delete("/api/modes/birds/versions/v3").json, "ModeRecord")
    assert [version["version"] for version in mode["versions"]] == ["v1", "v2"]
    refused(admin.delete("/api/modes/birds/versions/v3"), 404, "unknown_version")
    refused(admin.delete("/api/modes/birds/versions/v2"), 409, "conflict")
    refused(admin.delete("/api/modes/imagenet/versions/v1"), 409, "conflict")


def test_a_checkpoint_with_labels_is_imported_and_serves(admin: FlaskClient, registry: Flask) -> None:
    labels = (io.BytesIO("cow\t牛\npig\t猪\n".encode()), "farm.txt")
    sent = upload("my models/farm.pth", head(), labels=labels, title_zh="农场", threshold="0.4")
    response = admin.post("/api/modes/farm/import", **sent)
    assert response.status_code == 201, response.json
    record = fits(admin, response.json, "VersionRecord")
    assert (record["version"], record["active"], record["threshold"]) == ("v1", True, 0.4)
    assert record["imported_from"].startswith("farm.pth, SHA-256 ")
    registry.extensions["recogniser"].manager.refresh()
    assert registry.extensions["recogniser"].manager.mode("farm").labels[1].label_zh == "猪"


def test_a_zipped_version_is_imported_beyond_the_limit_for_photos(
    admin: FlaskClient, models: Path, registry: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.config, "MAX_CONTENT_LENGTH", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in (MANIFEST, HEAD):
            archive.write(models / "birds" / "v3" / name, name)
    response = admin.post("/api/modes/birds/import", **upload("v3.zip", buffer.getvalue()))
    assert (response.status_code, response.json["version"], response.json["active"]) == (201, "v4", False)


def test_what_cannot_be_imported_is_refused_with_its_reason(admin: FlaskClient, models: Path) -> None:
    refused(admin.post("/api/modes/farm/import"), 400, "bad_parameter")
    refused(admin.post("/api/modes/imagenet/import", **upload("farm.pth", head())), 409, "conflict")
    refused(admin.post("/api/modes/-farm/import", **upload("farm.pth", head())), 400, "bad_parameter")
    refused(admin.post("/api/modes/farm/import", **upload("farm.pth", head(), threshold="2")), 400, "bad_parameter")
    problem = refused(admin.post("/api/modes/farm/import", **upload("../../farm.pth", b"rubbish")), 422, "bad_model")
    assert "farm.pth cannot be imported" in problem.detail
    assert "/" not in problem.detail
    assert "模型无法使用" in admin.post("/api/modes/farm/import?lang=zh", **upload("..", b"x")).json["detail"]
    assert not (models / "farm").exists()
