"""The service around `/predict`: languages, pages, status, metrics, the full queue, and its own description."""

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app.config import Settings
from app.feedback.pulse import Pulse
from app.serving.recogniser import Recogniser
from app.web.schemas import Alive, Modes, NotReadyYet, Ready
from tests.asking import post, post_raw_form, refused
from tests.measuring import total


def test_the_sentence_comes_in_the_language_asked_for(client: FlaskClient) -> None:
    assert "没有收到图片" in client.post("/predict", data={"lang": "zh"}).json["detail"]
    assert "没有收到图片" in client.post("/predict", headers={"Accept-Language": "zh-CN,en;q=0.5"}).json["detail"]
    assert "No picture" in client.post("/predict", headers={"Accept-Language": "fr"}).json["detail"]


def test_addresses_and_methods_that_are_not_there(client: FlaskClient) -> None:
    refused(client.get("/nowhere"), 404, "not_found")
    refused(client.get("/predict"), 405, "method_not_allowed")


def test_a_person_gets_the_sentence_on_a_page(client: FlaskClient) -> None:
    response = client.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8", "Accept-Language": "zh"})
    assert response.status_code == 404
    assert response.mimetype == "text/html"
    assert "这个地址没有内容" in response.get_data(as_text=True)


def test_what_fails_unforeseen_tells_nothing_of_the_inside(
    service: Flask, client: FlaskClient, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("/secret/path.py exploded")

    monkeypatch.setattr(service.extensions["recogniser"], "recognise", explode)
    response = post(client, cat_jpeg)
    refused(response, 500, "internal")
    assert "secret" not in response.get_data(as_text=True)


def test_a_client_s_request_id_is_kept_when_it_is_harmless(client: FlaskClient) -> None:
    assert client.get("/livez", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    assert client.get("/livez", headers={"X-Request-Id": "a b<script>"}).headers["X-Request-Id"] != "a b<script>"


def test_every_answer_forbids_other_hosts_and_sniffing(client: FlaskClient) -> None:
    for path in ("/", "/livez", "/nowhere"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_modes_lists_what_can_be_asked_and_why_others_cannot(service: Flask, client: FlaskClient) -> None:
    broken = service.extensions["settings"].models_dir / "broken.pth"
    broken.write_bytes(b"rubbish")
    service.extensions["recogniser"].manager.refresh()
    try:
        body = Modes.model_validate(client.get("/modes").json)
    finally:
        broken.unlink()
        service.extensions["recogniser"].manager.refresh()
    by_key: dict[str, Any] = {mode.key: mode for mode in body.modes}
    assert len(by_key["imagenet"].labels) == 1000
    assert by_key["colours"].title.zh == "colours 模式"
    assert by_key["colours"].threshold == 0.5
    assert not by_key["broken"].available
    assert by_key["broken"].reason


def test_alive_and_ready_and_which_weights_serve(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.feedback.pulse.WAIT_S", 20)
    Alive.model_validate(client.get("/livez").json)
    ready = Ready.model_validate(client.get("/readyz").json)
    assert (ready.model.name, ready.model.origin) == ("efficientnet_lite0", "package")
    assert (ready.database, ready.models_dir) == ("answers", "readable")


def test_readiness_tells_of_a_database_that_is_away_and_does_not_wait_for_it(
    service: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    hanging = SimpleNamespace(engine=SimpleNamespace(connect=lambda: hangs.wait(20)))
    monkeypatch.setitem(service.extensions, "pulse", Pulse(hanging))
    started = time.monotonic()
    bodies = [client.get("/readyz") for _ in range(2)]
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    monkeypatch.setattr("app.feedback.pulse.WAIT_S", 20)
    hangs.set()
    assert [(body.status_code, body.json["database"]) for body in bodies] == [(200, "away")] * 2
    assert client.get("/readyz").json["database"] == "answers"


def test_readiness_tells_of_a_models_folder_that_has_gone(
    service: Flask, client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = service.extensions["settings"].model_copy(update={"models_dir": tmp_path / "gone"})
    monkeypatch.setitem(service.extensions, "settings", moved)
    assert (client.get("/readyz").status_code, client.get("/readyz").json["models_dir"]) == (200, "unreadable")


def test_a_service_whose_threads_have_ended_is_not_ready_and_says_so(
    service: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.extensions["recogniser"]._engine, "_threads", [threading.Thread()])
    response = client.get("/readyz")
    refused(response, 503, "not_ready", NotReadyYet)
    assert [one.what for one in NotReadyYet.model_validate(response.json).waiting_for] == ["decoder"]


def test_until_the_models_are_warm_the_service_is_alive_but_not_ready(
    settings: Settings, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app import create_app
    from app.serving.manager import ModelManager

    may_load = threading.Event()
    load = ModelManager.load

    def held_up(manager: ModelManager) -> None:
        assert may_load.wait(30)
        load(manager)

    monkeypatch.setattr(ModelManager, "load", held_up)
    app = create_app(settings)
    client = app.test_client()
    assert client.get("/livez").status_code == 200
    response = client.get("/readyz")
    refused(response, 503, "not_ready", NotReadyYet)
    awaited = NotReadyYet.model_validate(response.json).waiting_for
    assert [(one.what, one.name) for one in awaited] == [("mode", "imagenet")]
    refused(client.get("/modes"), 503, "not_ready")
    response = post(client, cat_jpeg)
    refused(response, 503, "not_ready")
    assert int(response.headers["Retry-After"]) >= 1
    may_load.set()
    for _ in range(600):
        if client.get("/readyz").status_code == 200:
            break
        threading.Event().wait(0.05)
    assert client.get("/readyz").status_code == 200
    app.extensions["recogniser"].manager.close()
    app.extensions["recogniser"].close()


def test_metrics_count_pictures_by_outcome(client: FlaskClient, cat_jpeg: bytes) -> None:
    def count() -> float:
        return total(client.get("/metrics").text, "wanwu_pictures_total", mode="imagenet", outcome="unknown")

    before = count()
    post(client, cat_jpeg, threshold="1")
    assert count() == before + 1


@pytest.fixture
def held_recogniser(service: Flask, monkeypatch: pytest.MonkeyPatch) -> tuple[Recogniser, threading.Event]:
    """The service with its base network held up until the event is set."""
    recogniser: Recogniser = service.extensions["recogniser"]
    backbone = recogniser.mode("imagenet").backbone
    gate, features = threading.Event(), backbone.features

    def held(batch: Any) -> Any:
        assert gate.wait(30)
        return features(batch)

    monkeypatch.setattr(backbone, "features", held)
    return recogniser, gate


def test_what_waits_and_what_runs_is_told_apart(
    client: FlaskClient, held_recogniser: tuple[Recogniser, threading.Event], cat_jpeg: bytes
) -> None:
    recogniser, gate = held_recogniser
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(post, client, *[cat_jpeg] * 20)
        while not 0 < recogniser.waiting <= 20 - 1:
            threading.Event().wait(0.01)
        page = client.get("/metrics").text
        gate.set()
        assert waiting.result(30).status_code == 200
    queue = [total(page, "wanwu_queue_pictures", state=state) for state in ("waiting", "running")]
    assert min(queue) > 0
    assert sum(queue) == total(page, "wanwu_pictures_in_flight") == 20
    assert total(client.get("/metrics").text, "wanwu_queue_pictures") == 0
    assert total(page, "wanwu_resident_bytes") > 50e6


def with_settings(recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    monkeypatch.setattr(recogniser, "_settings", recogniser._settings.model_copy(update=values))


def test_past_the_queue_s_limit_a_request_is_told_busy_at_once(
    service: Flask,
    held_recogniser: tuple[Recogniser, threading.Event],
    cat_jpeg: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recogniser, gate = held_recogniser
    with_settings(recogniser, monkeypatch, max_queue=2)
    with ThreadPoolExecutor(2) as callers:
        waiting = [callers.submit(post, service.test_client(), cat_jpeg) for _ in range(2)]
        while recogniser.in_flight < 2:
            threading.Event().wait(0.01)
        response = post(service.test_client(), cat_jpeg)
        refused(response, 503, "busy")
        assert int(response.headers["Retry-After"]) >= 1
        gate.set()
        assert [one.result(30).status_code for one in waiting] == [200, 200]
    assert recogniser.in_flight == 0
    assert post(service.test_client(), cat_jpeg).status_code == 200


def test_past_the_deadline_a_request_is_given_up(
    client: FlaskClient,
    held_recogniser: tuple[Recogniser, threading.Event],
    cat_jpeg: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recogniser, gate = held_recogniser
    with_settings(recogniser, monkeypatch, deadline_s=0.3)
    refused(post(client, cat_jpeg), 504, "deadline")
    gate.set()
    assert recogniser.in_flight == 0


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_while_a_request_waits_changes_nothing(
    client: FlaskClient,
    held_recogniser: tuple[Recogniser, threading.Event],
    cat_jpeg: bytes,
    monkeypatch: pytest.MonkeyPatch,
    step_s: float,
) -> None:
    recogniser, gate = held_recogniser
    real = time.time
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(post, client, cat_jpeg)
        while recogniser.in_flight < 1:
            threading.Event().wait(0.01)
        monkeypatch.setattr(time, "time", lambda: real() + step_s)
        gate.set()
        answer = waiting.result(30)
    assert answer.status_code == 200
    assert all(0 <= milliseconds < 60_000 for milliseconds in answer.json["timing_ms"].values())


def test_a_client_that_asks_too_often_is_told_to_wait(service: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.web import limits

    kept = service.extensions["rate_limits"]
    limits.init_app(service, Settings(rate_limit="2/minute"))
    try:
        codes = [service.test_client().post("/predict").json["code"] for _ in range(3)]
        other = service.test_client().post("/predict", environ_overrides={"REMOTE_ADDR": "10.0.0.9"})
        assert codes == ["no_file", "no_file", "rate_limited"]
        assert other.json["code"] == "no_file"
    finally:
        service.extensions["rate_limits"] = kept


def test_openapi_describes_every_route_and_is_valid(service: Flask, client: FlaskClient) -> None:
    from openapi_spec_validator import validate

    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    validate(document)
    for_people = ("pages.", "login.", "places.", "static", "openapi.")
    rules = [rule for rule in service.url_map.iter_rules() if not rule.endpoint.startswith(for_people)]
    assert {re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule.rule) for rule in rules} == set(document["paths"])


def test_a_real_answer_fits_its_description(client: FlaskClient, cat_jpeg: bytes) -> None:
    from jsonschema import Draft202012Validator

    document = client.get("/openapi.json").json
    for body, name in (
        (post(client, cat_jpeg, b"no").json, "Prediction"),
        (post(client, b"no").json, "Problem"),
        (client.get("/modes").json, "Modes"),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(json.loads(json.dumps(body)))


def test_uploads_never_touch_the_disk(client: FlaskClient, cat: Image.Image, encode: Callable[..., bytes]) -> None:
    import sys

    opened: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            opened.append(str(arguments[0]))

    sys.addaudithook(hook)
    big = encode(cat.resize((2000, 2000)), "PNG")
    assert len(big) > 1_000_000
    assert post_raw_form(client, big).status_code == 200
    watching = False
    assert opened == []
