"""`POST /api/modes/<mode>/classes`: one more class for a mode, from a few photos and within the request."""

from threading import Lock

import torch
from flask import Blueprint, Response, current_app, jsonify, request

from app.config import Settings
from app.errors import BadModel, BadParameter, Busy, ModelError, RequestError, StorageFull
from app.registry import jobs
from app.registry.files import is_full
from app.registry.library import check_not_base, read_mode
from app.serving.manager import ModelManager
from app.serving.new_class import Order, add_class
from app.serving.new_photos import FEWEST, MOST, Given
from app.vision.keeping import prepare
from app.web.failures import answer
from app.web.guard import check_admin, who
from app.web.parameters import Upload, read_uploads

KEPT_IN = ".classes"
"""Under the models folder: the photos of classes that were added, by mode."""

blueprint = Blueprint("classes", __name__, url_prefix="/api/modes/<mode>/classes")
blueprint.before_request(check_admin)

_adding = Lock()
"""It takes all cores for a second or two: one at a time, so that those who ask what a photo shows wait no longer."""


@blueprint.errorhandler(ModelError)
def _bad_model(error: ModelError) -> Response:
    return answer(BadModel(reason=str(error).rstrip(".")))


@blueprint.errorhandler(OSError)
def _disk(error: OSError) -> Response:
    if not is_full(error):
        raise error
    return answer(StorageFull())


@blueprint.post("")
def post_class(mode: str) -> tuple[Response, int]:
    """Add the class to the version that serves; the new version serves once it is promoted, or at once."""
    check_not_base(mode)
    settings: Settings = current_app.extensions["settings"]
    manager: ModelManager = current_app.extensions["recogniser"].manager
    read_mode(settings.models_dir, mode)  # which says it where there is no such mode
    jobs.check_free(settings.models_dir, mode)
    if not _adding.acquire(blocking=False):
        raise Busy(retry_after_s=3)
    try:
        torch.set_num_threads(settings.torch_threads)  # a thread's own
        addition = add_class(
            _order(mode, settings),
            settings,
            by=who(),
            load=lambda entry: manager.version(entry.key, entry.path.name),
            check=manager.check,
        )
    finally:
        _adding.release()
    if addition.active:
        manager.refresh()  # the other workers follow by themselves
    return jsonify(addition.facts()), 201


def _order(mode: str, settings: Settings) -> Order:
    """What the form asks for."""
    request.max_content_length = FEWEST * settings.max_upload_mb * 1024**2
    form, uploads = request.form, read_uploads(request)
    if form.get("promote", "0") not in ("0", "1"):
        raise BadParameter(name="promote", en="'0' or '1'", zh="0 或 1")
    if len(uploads) > MOST:
        raise BadParameter(name="file", en=f"at most {MOST} photos", zh=f"最多 {MOST} 张照片")
    return Order(
        mode,
        form.get("label", "").strip(),
        form.get("label_zh", "").strip() or None,
        [_given(place, upload, settings.max_pixels) for place, upload in enumerate(uploads, start=1)],
        promote=form.get("promote") == "1",
        keep_in=settings.models_dir / KEPT_IN / mode,
    )


def _given(place: int, upload: Upload, max_pixels: int) -> Given:
    """The photo as it is kept: only pixels. What cannot be read stays as it came, and is told of with the others."""
    name = (upload.filename or f"photo {place}")[:100]
    try:
        return Given(name, prepare(upload.data, max_pixels).jpeg)
    except RequestError:
        return Given(name, upload.data)
