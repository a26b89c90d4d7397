"""Trials: a second version that answers a share of the callers, or looks on; and neither can do harm."""

import json
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import delete

from app import create_app
from app.__main__ import main
from app.config import Settings
from app.feedback.tables import Count
from app.registry.state import read_state
from app.serving.arms import place_of
from app.serving.manager import ModelManager
from app.serving.shadow import MAX_WAITING
from app.serving.strikes import LIMIT
from app.web import metrics
from app.web.schemas import Prediction
from app.web.schemas_trials import TrialReport
from tests.asking import refused
from tests.databases import migrate
from tests.trying import write_erring, write_sure, write_tuned

LABELS = {"v1": ("owl", "kite"), "v2": ("eagle", "wren", "kite"), "same": ("kite", "owl")}


@pytest.fixture(scope="module")
def app(app_settings: Settings, cat: Image.Image) -> Iterator[Flask]:
    """The whole application with the mode "birds": v1 (says owl) is active; v2, same, tuned and erring wait."""
    models = app_settings.models_dir
    flask_app = create_app(app_settings, wait=True)
    flask_app.testing = False
    migrate(flask_app.extensions["database"])
    recogniser = flask_app.extensions["recogniser"]
    base = recogniser.mode("imagenet")
    write_sure(models, base, "v1", LABELS["v1"], 0)
    write_sure(models, base, "v2", LABELS["v2"], 0)
    write_sure(models, base, "same", LABELS["same"], 1)
    write_sure(models, base, "shy", LABELS["v1"], 0, sure=0.0)
    write_tuned(models, base, "tuned", LABELS["v2"])
    write_erring(models, base, "erring", cat)
    recogniser.manager.refresh()
    yield flask_app
    recogniser.close()
    flask_app.extensions["counts"].close()
    flask_app.extensions["database"].close()


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    """A client without a cookie; afterwards no trial runs, and nothing is counted."""
    yield app.test_client(use_cookies=False)
    app.test_client().delete("/api/modes/birds/trial")
    manager_of(app).refresh()
    app.extensions["counts"].flush()
    with app.extensions["database"].session() as session:
        session.execute(delete(Count))


def manager_of(app: Flask) -> ModelManager:
    manager: ModelManager = app.extensions["recogniser"].manager
    return manager


def folder_of(app: Flask) -> Path:
    folder: Path = app.extensions["settings"].models_dir / "birds"
    return folder


def begin(app: Flask, version: str, kind: str, share: float = 1.0) -> TrialReport:
    """Begin a trial as an administrator does, and let this process follow."""
    order = {"version": version, "kind": kind, "share": share, "why": "a test"}
    response = app.test_client().put("/api/modes/birds/trial", json=order)
    assert response.status_code == 200, response.json
    manager_of(app).refresh()
    return TrialReport.model_validate(response.json)


def ask(client: FlaskClient, picture: bytes, caller: str = "", **query: str) -> dict[str, Any]:
    response = client.post(
        "/predict", data=picture, content_type="image/jpeg", query_string={"mode": "birds", **query},
        headers={"X-Client-Id": caller} if caller else {},
    )  # fmt: skip
    assert response.status_code == 200, response.json
    body: dict[str, Any] = response.json
    Prediction.model_validate(body)
    return body


def version_for(client: FlaskClient, picture: bytes, caller: str = "") -> str:
    version: str = ask(client, picture, caller)["model"]["version"]
    return version


def figures(app: Flask) -> dict[str, dict[str, Any]]:
    """The trial's figures by version, as the API gives them now."""
    app.extensions["counts"].flush()
    report = TrialReport.model_validate(app.test_client().get("/api/modes/birds/trial").json)
    return {one.version: one.model_dump() for one in report.versions}


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


# ---- sharing out callers ----


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_callers_is_that_share_of_two_thousand_in_every_mode(share: float) -> None:
    for mode in ("birds", "cars", "户外运动"):
        given = sum(place_of(f"caller {number}", mode) < share for number in range(2000))
        assert given / 2000 == pytest.approx(share, abs=0.03)


def test_a_larger_share_keeps_the_callers_it_had_and_modes_choose_differently() -> None:
    places = {mode: [place_of(str(caller), mode) for caller in range(2000)] for mode in ("birds", "cars")}
    assert all(0 <= place < 1 for place in places["birds"])
    both = sum(one < 0.5 and other < 0.5 for one, other in zip(places["birds"], places["cars"], strict=True))
    assert both / 2000 == pytest.approx(0.25, abs=0.03)


def test_one_caller_always_gets_the_same_version_and_both_answer_some(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    begin(app, "v2", "split", 0.5)
    got = {str(caller): {version_for(client, cat_jpeg, str(caller)) for _ in range(3)} for caller in range(12)}
    assert all(len(versions) == 1 for versions in got.values())
    expected = {caller: {"v2" if place_of(caller, "birds") < 0.5 else "v1"} for caller in got}
    assert got == expected
    assert {"v1", "v2"} == set.union(*got.values())


def test_a_program_without_an_id_is_known_by_its_address_and_gets_no_cookie(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    begin(app, "v2", "split", 0.5)
    expected = "v2" if place_of("127.0.0.1", "birds") < 0.5 else "v1"
    response = client.post("/predict?mode=birds", data=cat_jpeg, content_type="image/jpeg")
    assert response.json["model"]["version"] == expected
    assert "Set-Cookie" not in response.headers


def test_a_browser_gets_one_cookie_only_while_callers_are_shared_out(
    app: Flask, cat_jpeg: bytes, client: object
) -> None:
    browser = app.test_client()
    page = {"Accept": "text/html"}
    assert "Set-Cookie" not in browser.get("/", headers=page).headers
    begin(app, "v2", "shadow")
    assert "Set-Cookie" not in browser.get("/", headers=page).headers
    begin(app, "v2", "split", 0.5)
    given = browser.get("/", headers=page).headers["Set-Cookie"]
    assert given.startswith("arm=")
    assert "HttpOnly" in given
    assert "SameSite=Lax" in given
    caller = given.split(";")[0].removeprefix("arm=")
    response = browser.post(
        "/predict?mode=birds", data=cat_jpeg, content_type="image/jpeg", headers={"Origin": "http://localhost"}
    )
    assert response.json["model"]["version"] == ("v2" if place_of(caller, "birds") < 0.5 else "v1")
    assert "Set-Cookie" not in response.headers
    other = app.test_client().post(
        "/predict?mode=birds", data=cat_jpeg, content_type="image/jpeg", headers={"Origin": "http://localhost"}
    )
    assert other.headers["Set-Cookie"].startswith("arm=")


def test_labels_threshold_and_version_of_an_answer_belong_together_under_load_while_trials_come_and_go(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    stop, wrong, seen = threading.Event(), [], Counter[str]()

    def keep_asking(number: int) -> None:
        own = app.test_client(use_cookies=False)
        turn = 0
        while not stop.is_set():
            turn += 1
            body = ask(own, cat_jpeg, f"{number}-{turn}", top_k="3")
            version = body["model"]["version"]
            seen[version] += 1
            if {guess["label"] for guess in body["results"][0]["top"]} != set(LABELS[version]):
                wrong.append(body)

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for kind in ("split", "shadow", "split"):
        begin(app, "v2", kind, 0.5)
        time.sleep(0.7)
        app.test_client().delete("/api/modes/birds/trial")
        manager_of(app).refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(seen["v1"], seen["v2"]) > 0


def test_the_threshold_is_that_of_the_version_that_answers(app: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    begin(app, "shy", "split")
    body = ask(client, cat_jpeg)
    assert (body["model"]["version"], body["threshold"], body["results"][0]["unknown"]) == ("shy", 0.5, False)
    assert ask(client, cat_jpeg, threshold="0.9")["results"][0]["unknown"]


def test_a_version_that_errs_answers_nobody_and_ends_its_own_trial_once(
    app: Flask, client: FlaskClient, cat_jpeg: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    begin(app, "erring", "split")
    arms = manager_of(app).arms("birds")
    assert arms.contender is not None
    for _ in range(LIMIT):
        assert read_state(folder_of(app)).trial is not None
        assert version_for(client, cat_jpeg) == "v1"
    until(lambda: read_state(folder_of(app)).trial is None)
    last = read_state(folder_of(app)).history[-1]
    assert (last.action, last.version, last.by) == ("trial_ended", "erring", "the server")
    assert "not finite" in last.why
    for _ in range(2 * LIMIT):  # another worker may not have seen it yet
        manager_of(app).strikes.add("birds", arms.contender.plan, RuntimeError("again"))
    manager_of(app).refresh()
    assert manager_of(app).arms("birds").contender is None
    assert len([event for event in read_state(folder_of(app)).history if event.by == "the server"]) == 1
    until(lambda: [record for record in caplog.records if "is ended" in record.getMessage()])


def test_strikes_never_end_a_later_trial_of_the_same_version(app: Flask, client: FlaskClient) -> None:
    begin(app, "v2", "shadow")
    old = read_state(folder_of(app)).trial
    assert old is not None
    time.sleep(0.01)
    begin(app, "v2", "shadow")
    for _ in range(LIMIT):
        manager_of(app).strikes.add("birds", old, RuntimeError("late"))
    time.sleep(0.2)
    assert read_state(folder_of(app)).trial is not None


# ---- looking on ----


def without_times(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("request_id", "timing_ms")}


@pytest.mark.parametrize("version", ["v2", "tuned", "erring"])
def test_a_shadow_changes_nothing_in_an_answer(app: Flask, client: FlaskClient, cat_jpeg: bytes, version: str) -> None:
    before = without_times(ask(client, cat_jpeg))
    begin(app, version, "shadow")
    assert without_times(ask(client, cat_jpeg)) == before
    until(lambda: figures(app)[version]["pictures"] + figures(app)[version]["errors"] == 1)


def test_a_shadow_on_the_same_backbone_sees_every_picture_in_the_same_pass(
    app: Flask, client: FlaskClient, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(app, "v2", "shadow")
    backbone = manager_of(app).mode("birds").backbone
    passes: list[int] = []
    features = backbone.features
    monkeypatch.setattr(backbone, "features", lambda batch: passes.append(len(batch)) or features(batch))
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: ask(app.test_client(), cat_jpeg), range(40)))
    assert sum(passes) == 40
    until(lambda: figures(app)["v2"]["pictures"] == 40)


@pytest.mark.parametrize(("version", "agreement"), [("v2", 0.0), ("same", 1.0), ("shy", 0.0)])
def test_agreement_is_by_name_not_by_place_and_unknown_is_an_answer(
    app: Flask, client: FlaskClient, cat_jpeg: bytes, version: str, agreement: float
) -> None:
    begin(app, version, "shadow")
    ask(client, cat_jpeg, threshold="0.6")
    until(lambda: figures(app)[version]["compared"] == 1)
    shadow = figures(app)[version]
    assert (shadow["agreement"], shadow["unknown"]) == (agreement, 1 if version == "shy" else 0)
    active = figures(app)["v1"]
    assert (active["pictures"], active["unknown"], active["role"]) == (1, 0, "active")


def test_two_that_say_unknown_agree(app: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    begin(app, "shy", "shadow")
    ask(client, cat_jpeg, threshold="1")
    until(lambda: figures(app)["shy"]["compared"] == 1)
    assert figures(app)["shy"]["agreement"] == 1.0


@pytest.mark.parametrize("version", ["v2", "tuned"])
def test_a_shadow_that_raises_harms_no_answer_and_ends_its_own_trial(
    app: Flask, client: FlaskClient, cat_jpeg: bytes, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(app, version, "shadow")
    contender = manager_of(app).arms("birds").contender
    assert contender is not None

    class Broken:
        def logits(self, features: object) -> None:
            raise RuntimeError("broken")

    object.__setattr__(contender.mode, "head", Broken())
    for number in range(LIMIT):
        assert version_for(client, cat_jpeg) == "v1"
        until(lambda number=number: figures(app).get(version, {"errors": LIMIT})["errors"] > number)
    until(lambda: read_state(folder_of(app)).trial is None)


def test_a_slow_shadow_on_another_backbone_delays_nobody_and_sees_what_there_is_time_for(
    app: Flask, client: FlaskClient, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(app, "tuned", "shadow")
    contender = manager_of(app).arms("birds").contender
    assert contender is not None
    backbone, go_on = contender.mode.backbone, threading.Event()
    assert backbone is not manager_of(app).mode("birds").backbone
    features = backbone.features
    monkeypatch.setattr(backbone, "features", lambda batch: go_on.wait(60) and features(batch))
    started = time.perf_counter()
    for _ in range(MAX_WAITING + 8):
        assert version_for(client, cat_jpeg) == "v1"
    assert time.perf_counter() - started < 10
    assert figures(app)["tuned"]["pictures"] == 0
    go_on.set()
    until(lambda: figures(app)["tuned"]["pictures"] == MAX_WAITING + 1)
    time.sleep(0.2)
    assert figures(app)["tuned"]["pictures"] == MAX_WAITING + 1, "the others were not shown to it"
    assert figures(app)["v1"]["pictures"] == MAX_WAITING + 8


# ---- beginning and ending ----


def test_a_trial_leaves_the_active_version_as_it_is_in_memory(app: Flask, client: FlaskClient) -> None:
    before = manager_of(app).mode("birds")
    begin(app, "v2", "shadow")
    contender = manager_of(app).arms("birds").contender
    begin(app, "v2", "split", 0.3)
    assert manager_of(app).mode("birds") is before
    again = manager_of(app).arms("birds").contender
    assert contender is not None
    assert again is not None
    assert again.mode is contender.mode
    assert again.plan.share == 0.3


def test_a_trial_that_cannot_be_loaded_is_refused_with_its_reason_and_the_active_goes_on(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    head = folder_of(app) / "v2" / "head.safetensors"
    whole = head.read_bytes()
    order = {"version": "v2", "kind": "split", "share": 1}
    try:
        head.write_bytes(whole[:100])
        problem = refused(app.test_client().put("/api/modes/birds/trial", json=order), 409, "refused")
        assert "SHA-256" in problem.detail
        assert read_state(folder_of(app)).trial is None
        head.write_bytes(whole)
        app.test_client().put("/api/modes/birds/trial", json=order)
        head.write_bytes(whole[:100])
        before = manager_of(app).mode("birds")
        manager_of(app).refresh()
        assert manager_of(app).mode("birds") is before
        assert version_for(client, cat_jpeg) == "v1"
        assert "SHA-256" in app.test_client().get("/api/modes/birds/trial").json["refused"]
        assert "birds" not in manager_of(app).problems
    finally:
        head.write_bytes(whole)


def test_the_api_begins_shows_and_ends_a_trial_and_the_history_knows_it(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    admin = app.test_client()
    assert admin.get("/api/modes/birds/trial").json["trial"] is None
    report = begin(app, "v2", "split", 0.25)
    assert report.trial is not None
    assert (report.trial.version, report.trial.kind, report.trial.share) == ("v2", "split", 0.25)
    assert (report.active, [one.version for one in report.versions]) == ("v1", ["v1", "v2"])
    ended = admin.delete("/api/modes/birds/trial", json={"why": "seen enough"}).json
    assert ended["trial"] is None
    actions = [(event.action, event.version, event.why) for event in read_state(folder_of(app)).history[-2:]]
    assert actions == [("trial", "v2", "a test"), ("trial_ended", "v2", "seen enough")]
    refused(admin.delete("/api/modes/birds/trial"), 409, "refused")


@pytest.mark.parametrize("version", ["v1", "nine", "../v2", ""])
def test_a_version_that_is_active_or_not_there_cannot_be_tried(app: Flask, client: FlaskClient, version: str) -> None:
    order = {"version": version, "kind": "split"}
    refused(app.test_client().put("/api/modes/birds/trial", json=order), 409, "refused")


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ({"kind": "split"}, "version"),
        ({"version": "v2", "kind": "both"}, "kind"),
        ({"version": "v2", "kind": "split", "share": 0}, "share"),
        ({"version": "v2", "kind": "split", "share": 1.1}, "share"),
        ({"version": "v2", "kind": "split", "why": "x" * 501}, "why"),
        ({"version": "v2", "kind": "split", "more": 1}, "more"),
        (["v2"], "body"),
    ],
)
def test_an_order_that_is_not_understood_names_the_member(
    app: Flask, client: FlaskClient, order: object, named: str
) -> None:
    problem = refused(app.test_client().put("/api/modes/birds/trial", json=order), 400, "bad_parameter")
    assert f"'{named}'" in problem.detail


def test_what_has_no_versions_has_no_trials(app: Flask, client: FlaskClient) -> None:
    admin = app.test_client()
    order = {"version": "v2", "kind": "split"}
    refused(admin.put("/api/modes/cars/trial", json=order), 404, "unknown_mode")
    refused(admin.put("/api/modes/imagenet/trial", json=order), 409, "refused")
    refused(admin.delete("/api/modes/imagenet/trial"), 409, "refused")
    assert not (folder_of(app).parent / "imagenet").exists()


def test_trials_are_the_administrator_s(settings: Settings) -> None:
    closed = create_app(settings).test_client()
    for method in ("get", "put", "delete"):
        refused(getattr(closed, method)("/api/modes/birds/trial"), 403, "forbidden")


def test_the_command_line_begins_shows_and_ends_a_trial(
    app: Flask, client: FlaskClient, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(folder_of(app).parent))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["models", "trial", "birds", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "v1 answers alone" in run()
    assert "v2 beside v1 (split, 25% of the callers)" in run("v2", "--kind", "split", "--share", "0.25")
    manager_of(app).refresh()
    ask(client, cat_jpeg)
    app.extensions["counts"].flush()
    report = json.loads(run("--json"))
    assert sum(one["pictures"] for one in report["versions"]) == 1
    assert "v1 answers alone" in run("--stop")
    failed = CliRunner().invoke(main, ["models", "trial", "birds", "nine"])
    assert failed.exit_code == 1
    assert "no trained mode or version" in failed.output


# ---- metrics ----


def test_metrics_count_pictures_by_mode_version_and_role(app: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    begin(app, "v2", "shadow")

    def counted(version: str, role: str) -> float:
        line = f'wanwu_version_pictures_total{{mode="birds",role="{role}",version="{version}"}} '
        text = client.get("/metrics").get_data(as_text=True)
        return sum(float(one.removeprefix(line)) for one in text.splitlines() if one.startswith(line))

    before = counted("v1", "active"), counted("v2", "shadow")
    ask(client, cat_jpeg)
    until(lambda: (counted("v1", "active"), counted("v2", "shadow")) == (before[0] + 1, before[1] + 1))


def test_past_a_hundred_versions_the_metrics_call_them_other(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_names", {("cars", f"v{number}") for number in range(metrics.MAX_VERSIONS)})
    metrics.observe_version(manager_of(app).mode("birds"), "active", 1)
    sample = metrics.PROCESS_REGISTRY.get_sample_value(
        "wanwu_version_pictures_total", {"mode": "birds", "version": "other", "role": "active"}
    )
    assert sample


# ---- by the Open Inference Protocol ----


def infer(client: FlaskClient, picture: bytes | None, version: str = "") -> dict[str, Any]:
    """The answer for a picture, or for a grey tensor."""
    path = f"/v2/models/birds{f'/versions/{version}' if version else ''}/infer"
    sent: dict[str, Any] = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": [0] * 150528}
    if picture is not None:
        sent = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64encode(picture).decode()]}
    response = client.post(path, json={"inputs": [sent], "outputs": [{"name": "label"}]})
    assert response.status_code == 200, response.json
    told: dict[str, Any] = response.json
    return told


def test_the_protocol_s_callers_are_shared_out_too_but_for_those_that_name_a_version(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    begin(app, "v2", "split")
    for picture in (cat_jpeg, None):
        told = infer(client, picture)
        assert (told["model_version"], told["outputs"][0]["data"]) == ("v2", ["eagle"])
        told = infer(client, picture, "v1")
        assert (told["model_version"], told["outputs"][0]["data"]) == ("v1", ["owl"])
    assert client.get("/v2/models/birds/versions/v2").status_code == 404
    assert figures(app)["v2"]["pictures"] == 2


def test_a_shadow_sees_tensors_where_it_stands_on_the_same_backbone(
    app: Flask, client: FlaskClient, cat_jpeg: bytes
) -> None:
    begin(app, "same", "shadow")
    assert infer(client, None)["model_version"] == "v1"
    until(lambda: figures(app)["same"]["pictures"] == 1)
    begin(app, "tuned", "shadow")
    assert infer(client, None)["model_version"] == "v1"
    assert infer(client, cat_jpeg)["model_version"] == "v1"
    until(lambda: figures(app)["tuned"]["pictures"] == 1)
