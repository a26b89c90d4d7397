"""The log: one object a line with the request's id, and nothing of what was sent."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from app.web import limits, login_session, logs
from tests.asking import post

TOKEN = "correct-horse-battery-staple"
NAME = "grandmother at home.jpg"


@pytest.fixture(params=["json", "text"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the app writes, in either format."""
    yield from written(request.param)


@pytest.fixture
def json_log() -> Iterator[io.StringIO]:
    yield from written("json")


def written(log_format: str) -> Iterator[io.StringIO]:
    logger = logging.getLogger("app")
    kept, output = logger.handlers, io.StringIO()
    logs.init(log_format)
    handler = logger.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(output)
    yield output
    logger.handlers = kept


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def failing(service: Flask, monkeypatch: pytest.MonkeyPatch, error: Callable[[bytes], Exception]) -> None:
    """From now on recognising fails as `error` of the picture says."""

    def fail(pictures: list[bytes], *_: object) -> None:
        raise error(pictures[0])

    monkeypatch.setattr(service.extensions["recogniser"], "recognise", fail)


def test_a_request_is_one_line_of_fields(client: FlaskClient, json_log: io.StringIO, cat_jpeg: bytes) -> None:
    response = post(client, cat_jpeg, cat_jpeg, mode="colours", threshold="1")
    (line,) = lines(json_log)
    assert line.pop("time").endswith("Z")
    assert line.pop("milliseconds") > 0
    assert line.pop("message").startswith("POST /predict 200")
    assert line == {
        "level": "info", "logger": "app.access", "request_id": response.headers["X-Request-Id"], "method": "POST",
        "path": "/predict", "status": 200, "code": None, "mode": "colours", "version": "v1", "pictures": 2,
        "unknown": 2,
    }  # fmt: skip


def test_a_refusal_has_its_code_and_a_bad_picture_its_mode(client: FlaskClient, json_log: io.StringIO) -> None:
    post(client, b"no picture", mode="colours")
    client.get("/models/secret-name/versions")
    (bad, nowhere) = lines(json_log)
    assert (bad["status"], bad["code"], bad["mode"], bad["pictures"]) == (415, "unsupported_format", "colours", 1)
    assert (nowhere["status"], nowhere["code"], nowhere["path"]) == (404, "not_found", "other")


def test_whatever_is_logged_during_a_request_has_its_id(
    service: Flask, client: FlaskClient, log: io.StringIO, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(_: bytes) -> Exception:
        logging.getLogger("app.serving.somewhere").warning("something odd")
        return RuntimeError("boom")

    failing(service, monkeypatch, error)
    assert client.post("/predict", data={"file": (io.BytesIO(cat_jpeg), "cat.jpg")}, headers={"X-Request-Id": "id-7"})
    logging.getLogger("app.serving.somewhere").warning("outside of it")
    inside, outside = log.getvalue().split("outside of it")[0], log.getvalue().splitlines()[-1]
    for said in ("something odd", "the request failed", "POST /predict 500"):
        assert any("id-7" in line for line in inside.splitlines() if said in line), said
    assert "RuntimeError: boom" in inside, "the operator must see what it was"
    assert "id-7" not in outside


def test_an_error_of_many_lines_is_one_line_of_json(
    service: Flask, client: FlaskClient, json_log: io.StringIO, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(service, monkeypatch, lambda _: RuntimeError("boom"))
    post(client, cat_jpeg)
    failure, access = lines(json_log)
    assert failure["level"] == "error"
    assert "Traceback" in failure["traceback"]
    assert failure["request_id"] == access["request_id"]


def test_no_token_picture_name_or_field_is_ever_in_the_log(
    service: Flask, log: io.StringIO, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = service.extensions["settings"].model_copy(update={"admin_token": SecretStr(TOKEN)})
    monkeypatch.setitem(service.extensions, "settings", changed)
    monkeypatch.setitem(service.config, "SECRET_KEY", None)
    monkeypatch.setitem(service.extensions, "rate_limits", service.extensions["rate_limits"])
    login_session.init_app(service, changed)
    limits.init_app(service, changed)
    client = service.test_client()
    client.post("/login", data={"token": TOKEN})
    client.post("/login", data={"token": "wrong-guess-of-a-token"})
    client.get("/api/modes", headers={"Authorization": f"Bearer {TOKEN}"})
    client.get("/api/modes", headers={"Authorization": "Bearer another-wrong-guess"})
    cookie = client.get_cookie("admin")
    assert cookie is not None
    everything = [TOKEN, "wrong-guess", "another-wrong", NAME, "holiday", cookie.value, repr(cat_jpeg[:8])[2:-1]]

    def error(picture: bytes) -> Exception:
        told = (picture[:40], NAME, TOKEN, cookie.value, "a field: holiday in the sun")
        return ValueError(f"cannot digest {told!r} {picture[:300]!r}")

    failing(service, monkeypatch, error)
    response = client.post(
        "/predict",
        data={"file": (io.BytesIO(cat_jpeg), NAME), "note": "a field: holiday in the sun"},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert response.status_code == 500
    assert "ValueError: cannot digest" in log.getvalue()
    assert [secret for secret in everything if secret in log.getvalue()] == []
