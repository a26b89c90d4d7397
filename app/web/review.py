"""`/api/corrections`: the review queue, for whoever may change something."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import ValidationError

from app.config import Settings
from app.errors import BadParameter, NotFound
from app.feedback.database import Database
from app.feedback.pictures import find_picture
from app.feedback.review import MAX_PAGE, Entry, decide, find, list_entries, read_entry
from app.web.bodies import bad_parameter, read_json
from app.web.correction_counts import correction_counts
from app.web.guard import check_admin, who
from app.web.schemas_corrections import QueueAsked, Review

blueprint = Blueprint("review", __name__, url_prefix="/api/corrections")
blueprint.before_request(check_admin)

_MUST_BE = {
    "status": ("'pending', 'accepted' or 'rejected'", " pending、accepted 或 rejected"),
    "mode": ("a mode's key", "模式的标识"),
    "limit": (f"a whole number from 1 to {MAX_PAGE}", f" 1 到 {MAX_PAGE} 的整数"),
    "after": ("the 'after' of the page before", "上一页给出的 after"),
    "action": ("'accept', 'relabel', 'reject' or 'undo'", " accept、relabel、reject 或 undo"),
    "label": ("a name of 1 to 100 characters", " 1 到 100 个字的名称"),
    "revision": ("the revision that was shown", "列表中给出的 revision"),
}
_BODY = ("a well-formed request", "格式正确的请求")


@blueprint.get("")
def queue() -> Response:
    """A page of the queue, oldest first."""
    try:
        asked = QueueAsked.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise bad_parameter(error, _MUST_BE, _BODY) from error
    page = list_entries(
        _database(), status=asked.status, mode=asked.mode or None, after=asked.after, limit=asked.limit
    )  # fmt: skip
    entries = [describe(entry) for entry in page.entries]
    return jsonify({"entries": entries, "total": page.total, "after": page.after})


@blueprint.get("/counts")
def counts() -> Response:
    """Each mode's corrections in figures, and from how many new ones on a training is worth it."""
    manager = current_app.extensions["recogniser"].manager
    return jsonify(correction_counts(_database(), current_app.extensions["settings"], manager))


@blueprint.get("/<string(length=32):correction_id>")
def entry(correction_id: str) -> Response:
    """One entry as it is now: for a reviewer who was told that somebody else was quicker."""
    return jsonify(describe(read_entry(_database(), correction_id)))


@blueprint.get("/<string(length=32):correction_id>/picture")
def picture(correction_id: str) -> Response:
    """The kept picture, for the reviewer's eyes only."""
    row = find(_database(), correction_id)
    settings: Settings = current_app.extensions["settings"]
    if row.picture is None:
        raise NotFound
    try:
        path = find_picture(settings.models_dir, row.picture)
        jpeg = path.read_bytes() if path else b""
    except FileNotFoundError:  # forgotten this moment
        raise NotFound from None
    if not jpeg:
        raise NotFound
    return Response(jpeg, mimetype="image/jpeg", headers={"Cache-Control": "private, no-store"})


@blueprint.post("/<string(length=32):correction_id>")
def review(correction_id: str) -> Response:
    """Accept, relabel, reject, or undo that. JSON only: no form of another site can be made to send it."""
    if not request.is_json:
        raise BadParameter(name="body", en=_BODY[0], zh=_BODY[1])
    asked = read_json(Review, _MUST_BE, _BODY)
    entry = decide(_database(), correction_id, asked.action, revision=asked.revision, by=who(), label=asked.label)
    return jsonify(describe(entry))


def describe(entry: Entry) -> dict[str, Any]:
    """An entry as the API lists it."""
    row = entry.correction
    plain = ("id", "mode", "version", "answer", "confidence", "kind", "label", "status", "final_label", "reviewer")
    return {name: getattr(row, name) for name in plain} | {
        "count": entry.count,
        "created": row.created.isoformat(),
        "reviewed": row.reviewed.isoformat() if row.reviewed else None,
        "revision": row.revision,
        "used_by": row.used_by,
        "picture": f"/api/corrections/{row.id}/picture" if row.picture else None,
    }


def _database() -> Database:
    database: Database = current_app.extensions["database"]
    return database
