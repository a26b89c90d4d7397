"""`POST /corrections`: what a person says of an answer, from the page's script, its form, or a program."""

import threading

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request
from pydantic import ValidationError

from app.config import Settings
from app.errors import BadParameter, Busy, NoFile, NotFound
from app.feedback.corrections import Kind, Said, Saved, clean, save, take_back
from app.feedback.database import Database
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.vision.keeping import Kept, prepare
from app.vision.labels import Label
from app.web.bodies import bad_parameter, read_json
from app.web.failures import wants_page
from app.web.limits import check_rate
from app.web.parameters import read_uploads
from app.web.schemas_corrections import CorrectionSent

blueprint = Blueprint("corrections", __name__)

_MUST_BE = {
    "request_id": ("the request_id of an answer", "识别结果中的 request_id"),
    "place": ("a whole number from 0 to 63", " 0 到 63 的整数"),
    "mode": ("the mode that answered", "作答的模式"),
    "version": ("the version that answered", "作答的模型版本"),
    "answer": ("the label that was answered", "当时给出的类别"),
    "confidence": ("a number from 0 to 1", " 0 到 1 之间的数"),
    "sureness": ("a number from 0 to 1", " 0 到 1 之间的数"),
    "kind": ("'label', 'new' or 'none'", " label、new 或 none"),
    "label": ("a name of 1 to 100 characters", " 1 到 100 个字的名称"),
    "keep": ("'0' or '1'", " 0 或 1"),
}
_BODY = ("a well-formed request", "格式正确的请求")
_one_picture = threading.Lock()
"""A picture of 50 million pixels takes 150 MB while it is decoded: corrections do so one after the other."""


@blueprint.post("/corrections")
def correct() -> Response:
    """Store a correction, or change the one sent before of the same answer."""
    check_rate()
    sent = _read()
    recogniser: Recogniser = current_app.extensions["recogniser"]
    mode = recogniser.mode(sent.mode)
    kind, label, shown = _meant(sent, mode)
    picture, fate = _picture(sent)
    said = Said(
        sent.request_id, sent.place, mode.key, sent.version, sent.answer, sent.confidence, kind, label, sent.sureness
    )  # fmt: skip
    saved = save(current_app.extensions["database"], _settings().models_dir, said, picture)
    return _answer(saved, kind, label, shown, fate)


@blueprint.post("/corrections/<string(length=32):correction_id>/undo")
def undo(correction_id: str) -> Response:
    """Forget a correction and its picture. Whoever knows its id has sent it."""
    check_rate()
    database: Database = current_app.extensions["database"]
    if not take_back(database, _settings().models_dir, correction_id):
        raise NotFound
    if wants_page():
        return make_response(render_template("thanks.html", correction=None))
    return jsonify({"id": correction_id, "status": "taken_back"})


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _read() -> CorrectionSent:
    if request.is_json:
        return read_json(CorrectionSent, _MUST_BE, _BODY)
    try:
        return CorrectionSent.model_validate(request.form.to_dict())
    except ValidationError as error:
        raise bad_parameter(error, _MUST_BE, _BODY) from error


def _meant(sent: CorrectionSent, mode: Mode) -> tuple[Kind, str | None, Label | None]:
    """The kind, the label to store, and the mode's own entry for it where there is one."""
    if sent.kind == "none":
        return "none", None, None
    typed = clean(sent.label or "")
    known = _known(typed, mode)
    if known:
        return "label", known.label, known
    if sent.kind == "label":
        raise BadParameter(name="label", en="one of the mode's labels", zh="该模式的类别之一")
    return "new", typed, None


def _known(typed: str, mode: Mode) -> Label | None:
    """The class of that name in either language; upper and lower case are the same where no other name is meant."""
    for fold in (str, str.casefold):
        for name in ("label", "label_short", "label_zh"):
            found = next((label for label in mode.labels if fold(getattr(label, name)) == fold(typed)), None)
            if found:
                return found
    return None


def _picture(sent: CorrectionSent) -> tuple[Kept | None, str]:
    """The picture to keep, and what the sender is told of it."""
    if not sent.keep:
        return None, "not_agreed"
    settings = _settings()
    if not settings.keep_images:
        return None, "not_kept_here"
    try:
        uploads = read_uploads(request)
    except NoFile:
        return None, "none_sent"
    if not _one_picture.acquire(timeout=settings.deadline_s):
        raise Busy(retry_after_s=2)
    try:
        return prepare(uploads[0].data, settings.max_pixels), "kept"
    finally:
        _one_picture.release()


def _answer(saved: Saved, kind: Kind, label: str | None, shown: Label | None, fate: str) -> Response:
    names = {"label_short": shown.label_short, "label_zh": shown.label_zh} if shown else {}
    correction = {
        "id": saved.id,
        "status": saved.status,
        "kind": kind,
        "label": label,
        "label_short": label,
        "label_zh": label,
        **names,
        "picture": fate,
    }
    if wants_page():
        return make_response(render_template("thanks.html", correction=correction))
    return jsonify(correction)
