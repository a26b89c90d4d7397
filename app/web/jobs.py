"""`/api/jobs`, and what starts one: promoting and retraining take long, and need more than serving has installed."""

from tempfile import TemporaryFile
from zipfile import ZIP_STORED, ZipFile

from flask import Blueprint, Response, current_app, jsonify, send_file

from app.config import Settings
from app.registry import jobs
from app.registry.all_jobs import cancel_anywhere, find_described, list_described
from app.registry.catalog import BUILT_IN
from app.registry.library import check_not_base, find_version, read_mode
from app.web.bodies import read_json
from app.web.guard import check_admin, who
from app.web.schemas_jobs import ExportOrder, PromotionOrder, RetrainingOrder

blueprint = Blueprint("jobs", __name__, url_prefix="/api")
blueprint.before_request(check_admin)


@blueprint.post("/modes/<mode>/promote")
def promote(mode: str) -> tuple[Response, int]:
    """Compare a version with the active one, and promote it if it is better."""
    check_not_base(mode)
    order = read_json(PromotionOrder)
    find_version(_settings().models_dir, mode, order.version)
    force = ["--force"] if order.force else []
    command = ["models", "promote", mode, order.version, *force, f"--why={order.why}", f"--by={who()}"]
    return started("promote", mode, command)


@blueprint.post("/modes/<mode>/retrain")
def retrain(mode: str) -> tuple[Response, int]:
    """Teach a mode what was corrected, and promote the new version if it is better."""
    check_not_base(mode)
    read_mode(_settings().models_dir, mode)  # which says it where there is no such mode
    return started("retrain", mode, ["retrain", mode, f"--why={read_json(RetrainingOrder).why}", f"--by={who()}"])


@blueprint.post("/modes/<mode>/export")
def export(mode: str) -> tuple[Response, int]:
    """Write a version for programs without Wanwu; `/api/jobs/<id>/files` then gives it as a zip."""
    order = read_json(ExportOrder)
    if order.version:
        find_version(_settings().models_dir, mode, order.version)
    elif mode not in BUILT_IN:
        read_mode(_settings().models_dir, mode)
    name = f"{mode}@{order.version}" if order.version else mode
    return started("export", mode, ["models", "export", name, f"--format={order.format}", "--output", jobs.FILES])


@blueprint.get("/jobs/<job_id>/files")
def get_files(job_id: str) -> Response:
    """What a job wrote, as a zip."""
    models_dir = _settings().models_dir
    job = jobs.read_job(models_dir, job_id)
    paths = jobs.files_of(models_dir, job)
    packed = TemporaryFile()  # noqa: SIM115 - the response closes it
    with ZipFile(packed, "w", ZIP_STORED) as archive:
        for path in paths:
            archive.write(path, path.name)
    packed.seek(0)
    response = send_file(packed, "application/zip", as_attachment=True, download_name=f"{job.mode}-{job.id}.zip")
    response.call_on_close(packed.close)
    return response


@blueprint.get("/jobs")
def list_jobs() -> Response:
    """The jobs that are remembered, the newest first."""
    return jsonify({"jobs": list_described(_settings().models_dir)})


@blueprint.get("/jobs/<job_id>")
def get_job(job_id: str) -> Response:
    """One job, its answer once it is done, and the end of its output."""
    return jsonify(find_described(_settings().models_dir, job_id))


@blueprint.delete("/jobs/<job_id>")
def cancel_job(job_id: str) -> Response:
    """End a job that runs."""
    cancel_anywhere(_settings().models_dir, job_id)
    return get_job(job_id)


def started(kind: jobs.Kind, mode: str, arguments: list[str]) -> tuple[Response, int]:
    models_dir = _settings().models_dir
    events = [] if kind == "export" else ["--events"]
    job = jobs.start(models_dir, kind, mode, [*arguments, "--json", *events])
    return jsonify(jobs.described(models_dir, job)), 202


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
