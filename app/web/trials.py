"""`/api/modes/<mode>/trial`: begin, watch and end the trial of a second version."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flask import Blueprint, Response, current_app, jsonify

from app.config import Settings
from app.errors import ModelError, Refused
from app.feedback.figures import trial_report
from app.registry.catalog import Entry
from app.registry.state import complete_versions, new_trial, set_trial
from app.serving.recogniser import Recogniser
from app.web.bodies import read_json
from app.web.guard import check_admin, who
from app.web.schemas_trials import TrialEnd, TrialOrder

Result = TypeVar("Result")
_MUST_BE = {
    "version": ("the name of a version", "版本名称"),
    "kind": ("'split' or 'shadow'", " split 或 shadow"),
    "share": ("a number above 0, and at most 1", "大于 0 且不超过 1 的数"),
    "why": ("a text of at most 500 characters", "不超过 500 字的文字"),
}
_BODY = ("a JSON object of 'version', 'kind', 'share' and 'why'", "含 version、kind、share 和 why 的 JSON 对象")

blueprint = Blueprint("trials", __name__, url_prefix="/api/modes/<mode>/trial")
blueprint.before_request(check_admin)


@blueprint.get("")
def show(mode: str) -> Response:
    """The trial, and what was counted for each of its versions."""
    recogniser: Recogniser = current_app.extensions["recogniser"]
    arms = recogniser.arms(mode)
    report = _refusable(lambda: trial_report(current_app.extensions["database"], _settings().models_dir, mode))
    return jsonify({**report, "refused": arms.refused if report["trial"] else None})


@blueprint.put("")
def begin(mode: str) -> Response:
    """Begin a trial of a version that can be served; one that runs already is replaced."""
    order = read_json(TrialOrder, _MUST_BE, _BODY)
    recogniser: Recogniser = current_app.extensions["recogniser"]
    recogniser.arms(mode)  # which says it where there is no such mode
    folder = _folder(mode)
    if order.version not in complete_versions(folder):
        raise Refused(reason=f"there is no complete version {order.version[:64]}")
    _refusable(lambda: recogniser.manager.check(Entry(mode, folder / order.version)))
    trial = new_trial(order.version, order.kind, order.share)
    _refusable(lambda: set_trial(folder, trial, by=who(), why=order.why))
    return show(mode)


@blueprint.delete("")
def end(mode: str) -> Response:
    """End the trial: the active version answers everyone."""
    order = read_json(TrialEnd, _MUST_BE, _BODY)
    recogniser: Recogniser = current_app.extensions["recogniser"]
    recogniser.arms(mode)
    _refusable(lambda: set_trial(_folder(mode), None, by=who(), why=order.why))
    return show(mode)


def _refusable(change: Callable[[], Result]) -> Result:
    """The result of `change`, whose reason for not being possible the caller is told."""
    try:
        return change()
    except ModelError as error:
        raise Refused(reason=str(error).rstrip(".")) from error


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _folder(mode: str) -> Path:
    return _settings().models_dir / mode
