"""Alive, ready, and which modes there are."""

import os
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from app.config import Settings
from app.errors import NotReady
from app.feedback.pulse import Pulse
from app.registry.catalog import BASE_MODE
from app.registry.following import store_answers
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.web.failures import answer

blueprint = Blueprint("status", __name__)


def _recogniser() -> Recogniser:
    recogniser: Recogniser = current_app.extensions["recogniser"]
    return recogniser


@blueprint.get("/livez")
def livez() -> Response:
    """Alive: touches no model."""
    return jsonify({"status": "alive"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Ready: every active model is warm, and somebody works. Says which weights serve the base mode.

    The database, the sites' store and `models/` are told of, and make nobody wait: recognition goes on without them.
    """
    recogniser = _recogniser()
    manager = recogniser.manager
    about = {
        "refused": dict(manager.problems), "database": _database(), "store": _store(), "models_dir": _models_dir(),
    }  # fmt: skip
    waiting_for = []
    if not manager.ready:
        waiting_for.append({"what": "mode", "name": manager.loading, "why": "it is being loaded"})
    if not recogniser.works:
        waiting_for.append({"what": "decoder", "name": None, "why": "a thread that decodes has ended: restart"})
    if waiting_for:
        response = answer(NotReady(retry_after_s=2))
        if response.mimetype == "application/problem+json":
            response.set_data(current_app.json.dumps({**response.get_json(), "waiting_for": waiting_for, **about}))
        return response
    return jsonify(
        {
            "status": "ready",
            "model": manager.mode(BASE_MODE).model.as_dict(),
            "modes": [mode.key for mode in manager.modes()],
            **about,
        }
    )


def _database() -> str:
    pulse: Pulse = current_app.extensions["pulse"]
    return "answers" if pulse.answers() else "away"


def _store() -> str | None:
    answers = store_answers(current_app.extensions["settings"])
    return None if answers is None else "answers" if answers else "away"


def _models_dir() -> str:
    settings: Settings = current_app.extensions["settings"]
    return "readable" if os.access(settings.models_dir, os.R_OK | os.X_OK) else "unreadable"


@blueprint.get("/modes")
def modes() -> Response:
    """Every mode: the served ones first, then those under `models/` that cannot be served, with the reason."""
    manager = _recogniser().manager
    if not manager.ready:
        raise NotReady(retry_after_s=2)
    served = manager.modes()
    keys = {mode.key for mode in served}
    unavailable = [
        {"key": key, "available": False, "reason": reason}
        for key, reason in manager.problems.items()
        if key not in keys
    ]
    return jsonify({"default": BASE_MODE, "modes": [describe(mode) for mode in served] + unavailable})


def describe(mode: Mode) -> dict[str, Any]:
    """A served mode as `/modes` lists it."""
    return {
        "key": mode.key,
        "title": {"en": mode.title_en, "zh": mode.title_zh},
        "labels": [
            {"label": label.label, "label_short": label.label_short, "label_zh": label.label_zh}
            for label in mode.labels
        ],
        "threshold": mode.threshold,
        "score": mode.score.reference.name,
        "accepted": mode.accepted,
        "model": mode.model.as_dict(),
        "available": True,
        "reason": None,
    }
