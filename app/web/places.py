"""The places behind the login: Teach, Review and Models. Each page is drawn by its own script, from `/api`."""

from typing import Any

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from app.config import Settings
from app.web import login_session
from app.web.albums import can_teach
from app.web.guard import way_in
from app.web.language import language
from app.web.texts import error_sentences, texts_for

blueprint = Blueprint("places", __name__)


@blueprint.before_request
def _ask_who() -> AnyResponse | None:
    if way_in() is None:
        return redirect(f"/login?next={request.path}")
    return None


@blueprint.get("/teach")
def teach() -> Response:
    """The modes that are being taught, and the way to begin one."""
    return place("teach.html", "teach", can_teach=can_teach())


@blueprint.get("/teach/<mode>")
def album(mode: str) -> Response:
    """The photos of one mode, and the button that trains it."""
    return place("album.html", "teach", mode=mode, can_teach=can_teach())


@blueprint.get("/review")
def review() -> Response:
    """The queue of corrections."""
    return place("review.html", "review")


@blueprint.get("/models")
def models() -> Response:
    """Every mode."""
    return place("models.html", "models")


@blueprint.get("/models/<mode>")
def model(mode: str) -> Response:
    """One mode, its versions and its history."""
    return place("model.html", "models", mode=mode)


def place(template: str, name: str, **values: Any) -> Response:  # noqa: ANN401 - whatever the template takes
    """The page of a place; its script is told `values`, too, and speaks `texts/<name>.json`."""
    settings: Settings = current_app.extensions["settings"]
    data = {
        "language": language(),
        "texts": texts_for(name) | texts_for("verdict"),
        "errors": error_sentences(),
        "limits": {"limit_mb": settings.max_upload_mb},
        "csrf": login_session.csrf_token(),
        **values,
    }
    response = make_response(render_template(template, script_data=data, **values))
    response.cache_control.no_store = True
    return response
