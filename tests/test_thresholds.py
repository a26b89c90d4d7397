"""A version's threshold, set by people: where it is kept, that serving follows, and what it rests on."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.__main__ import main
from app.config import Settings
from app.errors import ModelError, UnknownVersion
from app.feedback.tables import Correction
from app.registry.library import delete_version, read_mode
from app.registry.state import activate, history_of, new_trial, set_threshold, set_trial
from app.registry.versions import MANIFEST
from app.serving.manager import ModelManager
from app.serving.served import served_mode
from app.web.schemas_versions import Scores
from tests.asking import refused
from tests.databases import migrate
from tests.trying import write_sure

SURE = 0.0
"""Two labels and no bias at all: every answer has the confidence 0.5, and the versions' own threshold is 0.5."""


@pytest.fixture(scope="module")
def app(app_settings: Settings) -> Iterator[Flask]:
    """The whole application, without a mode of its own."""
    flask_app = create_app(app_settings, wait=True)
    migrate(flask_app.extensions["database"])
    yield flask_app
    flask_app.extensions["recogniser"].close()
    flask_app.extensions["counts"].close()
    flask_app.extensions["database"].close()


@pytest.fixture
def birds(app: Flask) -> Iterator[Path]:
    """The mode "birds": v1 is active, v2 waits. Removed afterwards."""
    import shutil

    models: Path = app.extensions["settings"].models_dir
    for version in ("v1", "v2"):
        write_sure(models, manager_of(app).mode("imagenet"), version, ("owl", "kite"), 0, sure=SURE)
    manager_of(app).refresh()
    yield models / "birds"
    shutil.rmtree(models / "birds")
    manager_of(app).refresh()


@pytest.fixture
def client(app: Flask, birds: Path) -> FlaskClient:
    return app.test_client(use_cookies=False)


def manager_of(app: Flask) -> ModelManager:
    manager: ModelManager = app.extensions["recogniser"].manager
    return manager


def put(client: FlaskClient, **order: Any) -> Any:
    return client.put("/api/modes/birds/threshold", json=order)


def ask(client: FlaskClient, picture: bytes) -> dict[str, Any]:
    body: dict[str, Any] = client.post("/predict?mode=birds", data=picture, content_type="image/jpeg").json
    return body


# ---- what is kept ----


def test_a_threshold_belongs_to_its_version_through_promotions_and_rollbacks(birds: Path) -> None:
    manifest = (birds / "v1" / MANIFEST).read_bytes()
    event = set_threshold(birds, "v1", 0.8, by="ann", why="too bold")
    assert (event.action, event.version, event.threshold, event.by) == ("threshold", "v1", 0.8, "ann")
    activate(birds, "v2", action="promote", by="ann", why="")
    activate(birds, "v1", action="rollback", by="ann", why="")
    set_trial(birds, new_trial("v2", "shadow", 1), by="ann", why="")
    state = history_of(birds)
    assert state.thresholds == {"v1": 0.8}
    assert (birds / "v1" / MANIFEST).read_bytes() == manifest
    assert [event.action for event in state.history] == ["first", "threshold", "promote", "rollback", "trial"]
    assert [event.version for event in history_of(birds)._switches()] == ["v1", "v2", "v1"]


def test_it_goes_with_its_version_and_back_to_the_versions_own(birds: Path) -> None:
    set_threshold(birds, "v1", 0.7, by="ann", why="")
    set_threshold(birds, "v2", 0.8, by="ann", why="")
    set_threshold(birds, "v1", None, by="ann", why="")
    assert history_of(birds).thresholds == {"v2": 0.8}
    assert history_of(birds).history[-1].threshold is None
    delete_version(birds.parent, "birds", "v2", by="ann")
    assert history_of(birds).thresholds == {}
    with pytest.raises(ModelError, match="no complete version v2"):
        set_threshold(birds, "v2", 0.5, by="ann", why="")


def test_the_registry_tells_both_thresholds(birds: Path) -> None:
    set_threshold(birds, "v2", 0.25, by="ann", why="")
    versions = {one.version: one for one in read_mode(birds.parent, "birds").versions}
    assert [(one.threshold, one.own_threshold) for one in versions.values()] == [(0.5, 0.5), (0.25, 0.5)]


# ---- serving follows ----


def test_the_running_server_follows_and_says_which_threshold_it_used(
    app: Flask, client: FlaskClient, birds: Path, cat_jpeg: bytes
) -> None:
    assert ask(client, cat_jpeg)["results"][0]["unknown"] is False
    backbone = manager_of(app).mode("birds").backbone
    for threshold, unknown in ((0.6, True), (0.4, False), (None, False)):
        assert put(client, version="v1", threshold=threshold).status_code == 200
        manager_of(app).refresh()
        answered, expected = ask(client, cat_jpeg), 0.5 if threshold is None else threshold
        assert (answered["threshold"], answered["results"][0]["unknown"]) == (expected, unknown)
        (listed,) = (one for one in client.get("/modes").json["modes"] if one["key"] == "birds")
        assert listed["threshold"] == expected
    assert manager_of(app).mode("birds").backbone is backbone, "nothing large is loaded again"


def test_a_watching_server_follows(app: Flask, client: FlaskClient, birds: Path) -> None:
    import time

    manager_of(app).watch()
    try:
        set_threshold(birds, "v1", 0.9, by="another worker", why="")
        end = time.monotonic() + 30
        while manager_of(app).mode("birds").threshold != 0.9:
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        manager_of(app).close()


def test_a_version_on_trial_has_its_own_threshold_and_another_ones_change_leaves_it_alone(
    app: Flask, client: FlaskClient, birds: Path
) -> None:
    set_trial(birds, new_trial("v2", "split", 1), by="ann", why="")
    manager_of(app).refresh()
    active, contender = manager_of(app).arms("birds").active, manager_of(app).arms("birds").contender
    assert contender is not None
    put(client, version="v2", threshold=0.9)
    manager_of(app).refresh()
    arms = manager_of(app).arms("birds")
    assert arms.contender is not None
    assert (arms.contender.mode.threshold, arms.active.threshold) == (0.9, 0.5)
    assert arms.active is active
    put(client, version="v1", threshold=0.1)
    manager_of(app).refresh()
    later = manager_of(app).arms("birds").contender
    assert later is not None
    assert later.mode is arms.contender.mode


def test_commands_that_load_a_version_by_name_use_it_too(birds: Path) -> None:
    set_threshold(birds, "v2", 0.85, by="ann", why="")
    assert served_mode("birds@v2", Settings(models_dir=birds.parent)).threshold == 0.85


# ---- the API ----


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"version": "v1", "threshold": 1.2}, 400, "bad_parameter"),
        ({"version": "v1"}, 400, "bad_parameter"),
        ({"threshold": 0.4}, 400, "bad_parameter"),
        ({"version": "v1", "threshold": "NaN"}, 400, "bad_parameter"),
        ({"version": "v9", "threshold": 0.4}, 404, "unknown_version"),
    ],
)
def test_what_is_not_right_is_refused_and_changes_nothing(
    client: FlaskClient, birds: Path, order: Any, status: int, code: str
) -> None:
    refused(put(client, **order), status, code)
    assert history_of(birds).thresholds == {}


def test_the_base_mode_has_its_threshold_from_the_settings(client: FlaskClient) -> None:
    order = {"version": "v1", "threshold": 0.4}
    refused(client.put("/api/modes/imagenet/threshold", json=order), 409, "conflict")
    refused(client.put("/api/modes/fish/threshold", json=order), 404, "unknown_mode")


def test_strangers_may_not(app: Flask, client: FlaskClient) -> None:
    elsewhere: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}}
    refused(client.put("/api/modes/birds/threshold", **elsewhere), 403, "forbidden")
    refused(client.get("/api/modes/birds/versions/v1/scores", **elsewhere), 403, "forbidden")
    refused(client.post("/api/modes/birds/compare", **elsewhere), 403, "forbidden")


def test_the_scores_are_the_reports_curve_and_what_reviewers_agree_was_none_of_these(
    app: Flask, client: FlaskClient, birds: Path
) -> None:
    empty = Scores.model_validate(client.get("/api/modes/birds/versions/v1/scores").json)
    assert (empty.known, empty.unknown, empty.threshold) == (None, [], 0.5)
    curve = [[0.0, 1.0, 0.75], [0.5, 0.5, 1.0], [1.0, 0.0, None]]
    facts = {"judged_on": "test", "test": {"n": 4}, "validation": {"n": 9}, "threshold": {"curve": curve}}
    (birds / "v1" / "report.json").write_text(json.dumps(facts))
    rows = [("a", "none", "accepted", None, "v1", None), ("b", "none", "accepted", None, "v1", 0.4),
            ("c", "none", "pending", None, "v1", 0.3), ("d", "none", "accepted", "owl", "v1", 0.2),
            ("e", "label", "accepted", "owl", "v1", 0.1), ("f", "none", "accepted", None, "v2", 0.8)]  # fmt: skip
    with app.extensions["database"].writing() as session:
        for name, kind, status, label, version, sureness in rows:
            session.add(
                Correction(
                    id=name, request_id=name, created=datetime.now(UTC), mode="birds", version=version, answer="owl",
                    confidence=0.9, sureness=sureness, kind=kind, label=label, status=status, final_label=label,
                )
            )  # fmt: skip
    put(client, version="v1", threshold=0.6)
    scores = Scores.model_validate(client.get("/api/modes/birds/versions/v1/scores").json)
    assert scores.known is not None
    assert (scores.known.n, scores.known.judged_on, scores.known.curve[2]) == (4, "test", (1.0, 0.0, None))
    assert sorted(scores.unknown) == [0.4, 0.9]
    assert (scores.threshold, scores.own_threshold) == (0.6, 0.5)
    refused(client.get("/api/modes/birds/versions/v9/scores"), 404, "unknown_version")


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"first": "v1"}, 400, "bad_parameter"),
        ({"first": "v1", "second": "v1"}, 400, "bad_parameter"),
        ({"first": "v1", "second": "v9"}, 404, "unknown_version"),
        ({"first": "v1", "second": "../v2"}, 404, "unknown_version"),
    ],
)
def test_a_comparison_of_what_is_not_there_begins_no_job(
    client: FlaskClient, order: Any, status: int, code: str
) -> None:
    refused(client.post("/api/modes/birds/compare", json=order), status, code)
    refused(client.post("/api/modes/imagenet/compare", json=order), 409, "conflict")
    assert client.get("/api/jobs").json["jobs"] == []


# ---- the command line ----


def test_the_command_sets_and_resets_and_the_history_tells(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(birds.parent))
    run = CliRunner().invoke
    result = run(main, ["models", "threshold", "birds@v2", "0.35", "--why", "shy"])
    assert result.exit_code == 0, result.output
    assert "v2 threshold set to 0.35, by" in result.stdout
    assert "shy" in run(main, ["models", "history", "birds"]).stdout
    told = json.loads(run(main, ["models", "threshold", "birds", "0.9", "--json"]).stdout)
    assert (told["version"], told["threshold"]) == ("v1", 0.9)
    assert "v2 threshold set to its own" in run(main, ["models", "threshold", "birds@v2", "--reset"]).stdout
    assert history_of(birds).thresholds == {"v1": 0.9}
    for arguments in (["birds"], ["birds", "0.5", "--reset"], ["birds", "2"]):
        assert run(main, ["models", "threshold", *arguments]).exit_code == 2
    assert isinstance(run(main, ["models", "threshold", "birds@v7", "0.5"]).exception, UnknownVersion | SystemExit)
