"""`/api/modes…`: the registry over HTTP, for the administrator, by the same rules as the command line."""

from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.datastructures import FileStorage

from app.config import Settings
from app.errors import BadModel, BadParameter, ModelError
from app.registry.importing import Order
from app.registry.library import ModeRecord, delete_version, list_modes, read_history, read_mode
from app.registry.state import moment_of
from app.serving.manager import ModelManager
from app.serving.switching import import_version, roll_back
from app.web.bodies import read_json
from app.web.failures import answer
from app.web.guard import check_admin, who
from app.web.parameters import read_threshold
from app.web.schemas import RollBack
from app.web.uploads import content

MAX_MODEL_BYTES = 512 * 1024**2
"""For an imported model, in place of MAX_UPLOAD_MB, which is for photos: ResNet-18 alone has 45 MB."""

_ROLL_BACK = ('JSON such as {"to": "v1", "why": "…"}', '形如 {"to": "v1", "why": "…"} 的 JSON')

blueprint = Blueprint("modes_api", __name__, url_prefix="/api/modes")
blueprint.before_request(check_admin)


@blueprint.errorhandler(ModelError)
def _bad_model(error: ModelError) -> Response:
    return answer(BadModel(reason=error))


@blueprint.get("")
def get_modes() -> Response:
    """Every mode with its versions."""
    return jsonify({"modes": [_shown(record) for record in list_modes(_models_dir())]})


@blueprint.get("/<mode>")
def get_mode(mode: str) -> Response:
    """One mode with its versions."""
    return jsonify(_shown(read_mode(_models_dir(), mode)))


@blueprint.get("/<mode>/history")
def get_history(mode: str) -> Response:
    """Every change; with `at`, those until then, and the one that put in place what served."""
    state = read_history(_models_dir(), mode)
    at = request.args.get("at")
    moment = None if at is None else moment_of(at)
    history = [event for event in state.history if moment is None or event.at <= moment]
    served = state.served_at(moment or state.history[-1].at) if state.history else None
    return jsonify(
        {
            "mode": mode,
            "at": moment.isoformat() if moment else None,
            "served": served.model_dump(mode="json") if served else None,
            "history": [event.model_dump(mode="json") for event in history],
        }
    )


@blueprint.post("/<mode>/rollback")
def post_rollback(mode: str) -> Response:
    """Take the mode back."""
    wish = read_json(RollBack, otherwise=_ROLL_BACK)
    event = roll_back(_settings(), mode, by=who(), why=wish.why, to=wish.to, check=_manager().check)
    return jsonify(event.model_dump(mode="json"))


@blueprint.delete("/<mode>/versions/<version>")
def delete(mode: str, version: str) -> Response:
    """Delete a version; answers with the mode as it is then."""
    delete_version(_models_dir(), mode, version, by=who())
    return jsonify(_shown(read_mode(_models_dir(), mode)))


@blueprint.post("/<mode>/import")
def post_import(mode: str) -> tuple[Response, int]:
    """Make the uploaded model the mode's next version."""
    request.max_content_length = MAX_MODEL_BYTES
    model = request.files.get("file")
    if model is None or not model.filename:
        raise BadParameter(
            name="file", en="a .pth, or the zip of a version", zh="一个 .pth 文件，或某个版本的 zip 压缩包"
        )
    form = request.form
    with TemporaryDirectory(prefix="wanwu-upload-") as folder:
        path = _saved(model, Path(folder), "model.pth")
        labels = request.files.get("labels")
        labels_path = _saved(labels, Path(folder), "labels.txt") if labels is not None and labels.filename else None
        order = Order(
            mode, labels_path, form.get("title_en"), form.get("title_zh"), read_threshold(form.get("threshold", ""))
        )
        record = import_version(path, order, _settings(), by=who(), check=_manager().check)
    return jsonify(record.model_dump(mode="json")), 201


def _saved(part: FileStorage, folder: Path, default: str) -> Path:
    """The part's content as a file in a folder of its own, under the last piece of the name that the client gives."""
    room = folder / PurePath(default).stem
    room.mkdir()
    name = PurePath(part.filename or "").name[:100]
    path = room / (name if name.isprintable() and name.strip(". ") else default)
    path.write_bytes(content(part))
    return path


def _shown(record: ModeRecord) -> dict[str, Any]:
    """The record; a mode that this server could not load says why."""
    problem = record.problem or _manager().problems.get(record.key)
    return record.model_copy(update={"problem": problem}).model_dump(mode="json")


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _models_dir() -> Path:
    return _settings().models_dir


def _manager() -> ModelManager:
    manager: ModelManager = current_app.extensions["recogniser"].manager
    return manager
