"""`/api/jobs`, and what starts one: promoting and retraining, which take minutes, in processes of their own."""

from dataclasses import asdict
from typing import TypeVar

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import ValidationError

from app.config import Settings
from app.errors import AlreadyActive, BadParameter, NotFound
from app.registry import jobs
from app.registry.library import check_not_base, find_version, read_mode
from app.web.guard import check_admin, who
from app.web.schemas_jobs import PromoteOrder, RetrainOrder

Order = TypeVar("Order", PromoteOrder, RetrainOrder)
_MUST_BE = {
    "version": ("the name of a version", "版本名称"),
    "force": ("true or false", " true 或 false"),
    "why": ("a text of at most 500 characters", "不超过 500 字的文字"),
}
_BODY = ("a JSON object", "JSON 对象")

blueprint = Blueprint("jobs", __name__, url_prefix="/api")
blueprint.before_request(check_admin)


@blueprint.post("/modes/<mode>/promote")
def promote(mode: str) -> tuple[Response, int]:
    """Compare a version with the active one, and promote it if it is better."""
    order = _order(PromoteOrder)
    settings = _settings()
    find_version(settings.models_dir, mode, order.version)
    if read_mode(settings.models_dir, mode).active == order.version:
        raise AlreadyActive(mode=mode, version=order.version)
    forced = ["--force"] if order.force else []
    return _start("promote", mode, ["models", "promote", *forced, *_words(order), "--", mode, order.version])


@blueprint.post("/modes/<mode>/retrain")
def retrain(mode: str) -> tuple[Response, int]:
    """Teach a mode what was corrected, and promote the new version if it is better."""
    order = _order(RetrainOrder)
    check_not_base(mode)
    read_mode(_settings().models_dir, mode)
    return _start("retrain", mode, ["retrain", *_words(order), "--", mode])


@blueprint.get("/jobs")
def list_jobs() -> Response:
    """Every job, the newest first."""
    return jsonify({"jobs": [asdict(job) for job in jobs.jobs(_settings().models_dir)]})


@blueprint.get("/jobs/<key>")
def get_job(key: str) -> Response:
    """One job, with the end of what it has printed."""
    return _detail(jobs.read(_settings().models_dir, key))


@blueprint.delete("/jobs/<key>")
def cancel(key: str) -> Response:
    """End a job that runs."""
    return _detail(jobs.cancel(_settings().models_dir, key))


def _start(kind: jobs.Kind, mode: str, arguments: list[str]) -> tuple[Response, int]:
    job = jobs.start(_settings().models_dir, kind, mode, arguments, by=who())
    response = jsonify({"job": asdict(job)})
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return response, 202


def _words(order: PromoteOrder | RetrainOrder) -> list[str]:
    """What the history is told, each in one argument: no text can become another option."""
    return [f"--by={who()}", f"--why={order.why}"]


def _detail(job: jobs.Job | None) -> Response:
    if job is None:
        raise NotFound
    return jsonify({**asdict(job), "output": jobs.output(_settings().models_dir, job.id)})


def _order(schema: type[Order]) -> Order:
    """The request's JSON, checked."""
    try:
        return schema.model_validate_json(request.get_data() or b"{}")
    except ValidationError as error:
        name = str(next(iter(error.errors()[0]["loc"]), ""))
        en, zh = _MUST_BE.get(name, _BODY)
        raise BadParameter(name=name if name in _MUST_BE else "body", en=en, zh=zh) from error


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
