"""Alive, ready, and which modes there are."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from app.errors import NotReady
from app.registry.catalog import BASE_MODE
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser

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
    """Ready: every active model is warm. Says which weights serve the base mode."""
    manager = _recogniser().manager
    if not manager.ready:
        raise NotReady(retry_after_s=2)
    return jsonify(
        {
            "status": "ready",
            "model": manager.mode(BASE_MODE).model.as_dict(),
            "modes": [mode.key for mode in manager.modes()],
            "refused": dict(manager.problems),
        }
    )


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
