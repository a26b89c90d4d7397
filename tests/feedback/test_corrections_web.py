"""`/corrections` and `/api/corrections` as programs, people without a script, and reviewers use them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from app import create_app
from app.config import Settings
from app.feedback.database import Database
from app.web.schemas import Prediction
from app.web.schemas_corrections import CorrectionSaved, Queue, QueueEntry, TakenBack
from tests.asking import post, refused
from tests.conftest import write_head
from tests.feedback.sending import count, files, rows

TOKEN = {"Authorization": "Bearer hush"}
PAGE = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with KEEP_IMAGES=1, a token, and the mode `colours`."""
    models = tmp_path_factory.mktemp("models")
    app = create_app(Settings(models_dir=models, keep_images=True, admin_token=SecretStr("hush")), wait=True)
    app.testing = False
    recogniser = app.extensions["recogniser"]
    write_head(models, "colours", recogniser.mode("imagenet"), ["red", "green", "blue"], ["红", "绿", "蓝"])
    recogniser.manager.refresh()
    yield app
    recogniser.close()
    app.extensions["database"].close()


@pytest.fixture
def client(keeping: Flask) -> Iterator[FlaskClient]:
    """A client of an application that knows no correction."""
    from app.feedback.retention import delete_everything

    delete_everything(database_of(keeping), models_of(keeping))
    yield keeping.test_client()


def database_of(app: Flask) -> Database:
    database: Database = app.extensions["database"]
    return database


def models_of(app: Flask) -> Path:
    settings: Settings = app.extensions["settings"]
    return settings.models_dir


def answered(client: FlaskClient, picture: bytes, mode: str = "colours") -> dict[str, Any]:
    """The fields of a correction of a real answer."""
    answer = Prediction.model_validate(post(client, picture, mode=mode).json)
    (result,) = answer.results
    return {
        "request_id": answer.request_id, "mode": mode, "version": answer.model.version,
        "answer": result.label, "confidence": result.confidence,
    }  # fmt: skip


def send(client: FlaskClient, fields: dict[str, Any], picture: bytes | None = None, **more: Any) -> TestResponse:
    file = {"file": (io.BytesIO(picture), "cat.jpg")} if picture else {}
    return client.post("/corrections", data={**fields, **more, **file}, content_type="multipart/form-data")


@pytest.mark.parametrize("typed", ["green", "GREEN", "绿", "  green "])
def test_a_name_of_the_mode_is_understood_in_either_language(client: FlaskClient, cat_jpeg: bytes, typed: str) -> None:
    saved = CorrectionSaved.model_validate(send(client, answered(client, cat_jpeg), label=typed).json)
    assert (saved.kind, saved.label, saved.label_zh, saved.picture) == ("label", "green", "绿", "not_agreed")


def test_another_name_is_a_new_one_and_none_of_these_is_neither(
    keeping: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    fields = answered(client, cat_jpeg)
    first = send(client, fields, label="Teal\u202e").json
    assert (first["kind"], first["label"]) == ("new", "Teal")
    second = client.post("/corrections", json=fields | {"kind": "none"}).json
    assert (second["kind"], second["label"], second["id"]) == ("none", None, first["id"])
    assert count(database_of(keeping)) == 1


def test_how_sure_the_mode_was_is_kept_where_it_is_told(keeping: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    send(client, answered(client, cat_jpeg), label="green")
    send(client, answered(client, cat_jpeg), label="green", sureness="0.25")
    assert sorted(row.sureness or 0 for row in rows(database_of(keeping))) == [0, 0.25]


def test_the_form_says_how_sure_the_mode_was(client: FlaskClient, cat_jpeg: bytes) -> None:
    page = client.post("/", data={"file": (io.BytesIO(cat_jpeg), "cat.jpg"), "mode": "colours"}).text
    best = post(client, cat_jpeg, mode="colours").json["results"][0]
    assert f'<input type="hidden" name="sureness" value="{best["sureness"]}">' in page


def test_a_thousand_labels_are_told_apart(client: FlaskClient, cat_jpeg: bytes) -> None:
    fields = answered(client, cat_jpeg, "imagenet")
    assert send(client, fields, label="crane (bird)").json["label"] == "crane bird"
    assert send(client, fields, label="起重机").json["label"] == "crane"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", "a b"), ("request_id", ""), ("place", "-1"), ("place", "64"), ("confidence", "nan"),
        ("confidence", "2"), ("kind", "maybe"), ("label", ""), ("label", "x" * 101), ("keep", "perhaps"),
        ("version", ""), ("answer", "x" * 201), ("sureness", "1.1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named(client: FlaskClient, cat_jpeg: bytes, field: str, value: str) -> None:
    fields = answered(client, cat_jpeg) | {"label": "green"} | {field: value}
    assert f"'{field}'" in refused(send(client, fields), 400, "bad_parameter").detail


def test_a_label_must_be_one_of_the_modes_where_that_is_said(client: FlaskClient, cat_jpeg: bytes) -> None:
    fields = answered(client, cat_jpeg)
    refused(send(client, fields, kind="label", label="teal"), 400, "bad_parameter")
    refused(send(client, fields | {"mode": "nowhere"}, label="green"), 404, "unknown_mode")
    refused(client.post("/corrections", json=["no", "object"]), 400, "bad_parameter")
    refused(client.post("/corrections", data=b"{", content_type="application/json"), 400, "bad_parameter")


def test_a_picture_is_kept_only_where_the_person_agreed(keeping: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    fields = answered(client, cat_jpeg) | {"label": "green"}
    assert send(client, fields, cat_jpeg).json["picture"] == "not_agreed"
    assert send(client, fields, cat_jpeg, keep="0").json["picture"] == "not_agreed"
    assert send(client, fields, keep="1").json["picture"] == "none_sent"
    assert files(models_of(keeping)) == []
    assert send(client, fields, cat_jpeg, keep="1").json["picture"] == "kept"
    assert len(files(models_of(keeping))) == 1
    assert count(database_of(keeping)) == 1


def test_a_server_that_keeps_none_keeps_none_and_says_so(service: Flask, cat_jpeg: bytes) -> None:
    client = service.test_client()
    fields = answered(client, cat_jpeg) | {"label": "green"}
    assert send(client, fields, cat_jpeg, keep="1").json["picture"] == "not_kept_here"
    assert files(models_of(service)) == []
    assert rows(database_of(service))[-1].picture is None
    assert 'name="keep"' not in client.get("/").text


def test_a_picture_that_cannot_be_read_is_refused_and_nothing_stored(
    keeping: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    fields = answered(client, cat_jpeg) | {"label": "green", "keep": "1"}
    refused(send(client, fields, b"no picture"), 415, "unsupported_format")
    refused(send(client, fields, cat_jpeg[:2000]), 422, "unreadable_image")
    assert count(database_of(keeping)) == 0


def test_who_sent_it_may_take_it_back(keeping: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    saved = send(client, answered(client, cat_jpeg), cat_jpeg, label="green", keep="1").json
    TakenBack.model_validate(client.post(f"/corrections/{saved['id']}/undo").json)
    assert (count(database_of(keeping)), files(models_of(keeping))) == (0, [])
    refused(client.post(f"/corrections/{saved['id']}/undo"), 404, "not_found")


def test_corrections_count_for_the_rate_limit(keeping: Flask, client: FlaskClient) -> None:
    from app.web import limits

    kept = keeping.extensions["rate_limits"]
    limits.init_app(keeping, Settings(rate_limit="2/minute"))
    try:
        codes = [client.post("/corrections").json["code"] for _ in range(3)]
    finally:
        keeping.extensions["rate_limits"] = kept
    assert codes == ["bad_parameter", "bad_parameter", "rate_limited"]


def test_a_database_that_is_away_costs_no_recognition(tmp_path: Path, keeping: Flask, cat_jpeg: bytes) -> None:
    gone = Database(f"postgresql://nobody@/nothing?host={tmp_path}")
    kept = keeping.extensions["database"]
    keeping.extensions["database"] = gone
    try:
        client = keeping.test_client()
        fields = answered(client, cat_jpeg)
        response = send(client, fields, cat_jpeg, label="green", keep="1")
        refused(response, 503, "not_saved")
        assert int(response.headers["Retry-After"]) >= 1
        assert "tmp" not in response.text
    finally:
        keeping.extensions["database"] = kept


def test_without_a_script_the_answer_is_a_page_in_the_persons_language(client: FlaskClient, cat_jpeg: bytes) -> None:
    fields = answered(client, cat_jpeg) | {"label": "green"}
    page = client.post("/corrections", data=fields, headers=PAGE | {"Accept-Language": "zh"})
    assert page.status_code == 200
    assert "谢谢，已记下：绿。" in page.text
    undo = page.text.split('action="')[1].split('"')[0]
    assert "已撤回" in client.post(undo, headers=PAGE | {"Accept-Language": "zh"}).text
    page = client.post("/corrections", data=fields | {"label": "<b>teal"}, headers=PAGE)
    assert "Noted as a new name: &lt;b&gt;teal." in page.text
    assert client.post("/corrections", data=fields | {"label": ""}, headers=PAGE).status_code == 400


def test_the_queue_is_for_those_with_the_token(client: FlaskClient) -> None:
    one = "f" * 32
    for method, path in (("get", ""), ("get", f"/{one}/picture"), ("post", f"/{one}")):
        refused(getattr(client, method)(f"/api/corrections{path}"), 403, "forbidden")
    refused(client.get(f"/api/corrections/{one}/picture", headers=TOKEN), 404, "not_found")


def test_a_reviewer_lists_looks_and_decides(client: FlaskClient, cat_jpeg: bytes) -> None:
    for _ in range(2):
        send(client, answered(client, cat_jpeg), cat_jpeg, label="green", keep="1")
    queue = Queue.model_validate(client.get("/api/corrections?mode=colours&limit=10", headers=TOKEN).json)
    (entry,) = queue.entries
    assert (entry.count, entry.label, queue.total, queue.after) == (2, "green", 1, None)
    picture = client.get(str(entry.picture), headers=TOKEN)
    assert picture.data.startswith(b"\xff\xd8")
    assert picture.mimetype == "image/jpeg"
    assert picture.headers["Cache-Control"] == "private, no-store"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    path = f"/api/corrections/{entry.id}"
    asked = {"action": "relabel", "label": "blue", "revision": entry.revision}
    decided = QueueEntry.model_validate(client.post(path, json=asked, headers=TOKEN).json)
    assert (decided.status, decided.final_label, decided.count, decided.revision) == ("accepted", "blue", 2, 1)
    refused(client.post(path, json=asked, headers=TOKEN), 409, "conflict")
    refused(client.post(path, json={"action": "undo"}, headers=TOKEN), 400, "bad_parameter")
    refused(client.post(path, data={"action": "undo", "revision": 1}, headers=TOKEN), 400, "bad_parameter")
    refused(client.get("/api/corrections?status=lost", headers=TOKEN), 400, "bad_parameter")


def test_the_answers_are_as_described(client: FlaskClient, cat_jpeg: bytes) -> None:
    from jsonschema import Draft202012Validator

    document = client.get("/openapi.json").json
    saved = send(client, answered(client, cat_jpeg), cat_jpeg, label="green", keep="1").json
    for body, name in ((saved, "CorrectionSaved"), (client.get("/api/corrections", headers=TOKEN).json, "Queue")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(json.loads(json.dumps(body)))
    assert "507" in document["paths"]["/corrections"]["post"]["responses"]
