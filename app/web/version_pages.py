"""`/api/modes/<mode>/versions/<version>/…`: a version's report, and a photo to try it on before it serves."""

import time

from flask import Blueprint, Response, current_app, jsonify, request, send_file

from app.config import Settings
from app.errors import BadModel, ModelError, NotFound
from app.registry.library import find_version
from app.serving.recogniser import Recogniser
from app.web.caller import caller_of
from app.web.failures import answer
from app.web.guard import check_admin
from app.web.parameters import read_parameters, read_uploads
from app.web.predict import described

REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The report is one file, with its style, its pictures and its few lines of script in it. It is kept in a sandbox: a
file that came from elsewhere must not act in the name of whoever reads it."""

blueprint = Blueprint("version_pages", __name__, url_prefix="/api/modes/<mode>/versions/<version>")
blueprint.before_request(check_admin)


@blueprint.errorhandler(ModelError)
def _bad_model(error: ModelError) -> Response:
    return answer(BadModel(reason=str(error).rstrip(".")))


@blueprint.get("/report")
def report(mode: str, version: str) -> Response:
    """The report of its training, as a page."""
    response = _file(mode, version, "report.html", "text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@blueprint.get("/report.json")
def report_json(mode: str, version: str) -> Response:
    """The same as JSON."""
    return _file(mode, version, "report.json", "application/json")


@blueprint.post("/try")
def try_it(mode: str, version: str) -> Response:
    """Recognise pictures by that version, as `/predict` does; it counts nowhere."""
    started = time.perf_counter()
    settings: Settings = current_app.extensions["settings"]
    recogniser: Recogniser = current_app.extensions["recogniser"]
    find_version(settings.models_dir, mode, version)
    parameters = read_parameters(request, mode)
    uploads = read_uploads(request)
    asked = recogniser.manager.version(mode, version)
    outcomes = recogniser.recognise([one.data for one in uploads], asked, caller_of(request.environ).is_there)
    return jsonify(described(asked, uploads, outcomes, parameters, started))


def _file(mode: str, version: str, name: str, kind: str) -> Response:
    """A file of a version. Raises NotFound where it has none: an imported version has no report."""
    settings: Settings = current_app.extensions["settings"]
    path = find_version(settings.models_dir, mode, version) / name
    if not path.is_file():
        raise NotFound
    response = send_file(path, kind)
    response.headers["Cache-Control"] = "private, no-cache"
    return response
