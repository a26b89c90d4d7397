"""`/api/modes/<mode>…`: a version's threshold, what it rests on, and two versions compared."""

import json
from pathlib import Path

from flask import Blueprint, Response, current_app, jsonify

from app.config import Settings
from app.errors import BadModel, BadParameter, ModelError
from app.feedback.strangers import stranger_scores
from app.registry import jobs
from app.registry.library import check_not_base, decide_threshold, find_version, read_mode
from app.web.bodies import read_json
from app.web.failures import answer
from app.web.guard import check_admin, who
from app.web.schemas_versions import CompareOrder, KnownScores, Scores, ThresholdOrder

_MUST_BE = {
    "threshold": ("a number from 0 to 1, or null", "0 到 1 之间的数，或 null"),
    "why": ("a text of at most 500 characters", "不超过 500 字的文字"),
}
_VERSION = ("the name of a version", "版本名称")
_REPORT = "report.json"

blueprint = Blueprint("versions_api", __name__, url_prefix="/api/modes/<mode>")
blueprint.before_request(check_admin)


@blueprint.errorhandler(ModelError)
def _bad_model(error: ModelError) -> Response:
    return answer(BadModel(reason=str(error).rstrip(".")))


@blueprint.put("/threshold")
def put_threshold(mode: str) -> Response:
    """Set below which confidence a version says "unknown"; every worker follows within two seconds."""
    check_not_base(mode)
    order = read_json(ThresholdOrder, _MUST_BE, _VERSION)
    event = decide_threshold(_models_dir(), mode, order.version, order.threshold, by=who(), why=order.why)
    return jsonify(event.model_dump(mode="json"))


@blueprint.get("/versions/<version>/scores")
def get_scores(mode: str, version: str) -> Response:
    """How sure the version is of what it knows, and of what it does not."""
    folder = find_version(_models_dir(), mode, version)
    record = next(one for one in read_mode(_models_dir(), mode).versions if one.version == version)
    if record.threshold is None or record.own_threshold is None:
        raise ModelError(f"there is no complete version {version}")
    scores = Scores(
        mode=mode,
        version=version,
        threshold=record.threshold,
        own_threshold=record.own_threshold,
        known=_known(folder),
        unknown=stranger_scores(current_app.extensions["database"], mode, version),
    )
    return jsonify(scores.model_dump(mode="json"))


@blueprint.post("/compare")
def post_compare(mode: str) -> tuple[Response, int]:
    """Let two versions answer the same held-out pictures, as a job; nothing is switched."""
    check_not_base(mode)
    order = read_json(CompareOrder, _MUST_BE, _VERSION)
    for version in (order.first, order.second):
        find_version(_models_dir(), mode, version)
    if order.first == order.second:
        raise BadParameter(name="second", en="another version than the first", zh="与第一个不同的版本")
    job = jobs.start(
        _models_dir(), "compare", mode, ["models", "compare", mode, order.first, order.second, "--json", "--events"]
    )
    return jsonify(jobs.described(_models_dir(), job)), 202


def _known(folder: Path) -> KnownScores | None:
    """What the report of the version in `folder` says; None where there is none, or one of another kind."""
    try:
        facts = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
        part = facts["judged_on"]
        return KnownScores(n=facts[part]["n"], judged_on=part, curve=facts["threshold"]["curve"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _models_dir() -> Path:
    settings: Settings = current_app.extensions["settings"]
    return settings.models_dir
