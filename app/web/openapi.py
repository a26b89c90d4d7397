"""`/openapi.json`: the HTTP interface described, and `/docs`: the same for people, with no other host."""

from functools import cache
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template
from pydantic.json_schema import models_json_schema

from app.errors import (
    BadParameter,
    Busy,
    DeadlineExceeded,
    InternalError,
    NoFile,
    NotReady,
    PublicError,
    RateLimited,
    TooLarge,
    TooManyPixels,
    UnknownMode,
    UnreadableImage,
    UnsupportedFormat,
)
from app.serving.explanation import NotExplained
from app.web import (
    modes_operations,
    schemas_albums,
    schemas_classes,
    schemas_corrections,
    schemas_jobs,
    schemas_trials,
    schemas_v2,
    schemas_versions,
)
from app.web.openapi_albums import album_paths
from app.web.openapi_classes import class_paths
from app.web.openapi_corrections import correction_paths
from app.web.openapi_jobs import job_paths
from app.web.openapi_parts import FILES, answer, errors, form, get, reference, text
from app.web.openapi_reports import report_paths
from app.web.openapi_trials import trial_paths
from app.web.openapi_v2 import inference_paths
from app.web.openapi_versions import version_paths
from app.web.parameters import DEFAULT_TOP_K, MAX_TOP_K
from app.web.schemas import SCHEMAS
from app.web.uploads import TooSlow

blueprint = Blueprint("openapi", __name__)

PREDICT_ERRORS: tuple[type[PublicError], ...] = (
    BadParameter, NoFile, UnknownMode, TooLarge, UnsupportedFormat, TooManyPixels, UnreadableImage, RateLimited,
    InternalError, Busy, NotReady, NotExplained, DeadlineExceeded,
)  # fmt: skip
_CALLER = {
    "name": "X-Client-Id",
    "in": "header",
    "required": False,
    "description": "An id of the caller's own. While two versions of a mode share its callers, it gets always the same "
    "one; without it a browser is told apart by a cookie, others by their address.",
    "schema": {"type": "string"},
}
_FIELDS: dict[str, dict[str, Any]] = {
    "mode": {
        "description": "Which mode answers; GET /modes lists them.",
        "schema": {"type": "string", "default": "imagenet"},
    },
    "threshold": {
        "description": "Below this sureness the answer is unknown. Default: the mode's own, at which 95 % of known "
        "photos keep their name; GET /modes says how many do at any other.",
        "schema": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "top_k": {
        "description": "How many guesses to list, at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K},
    },
    "groups": {
        "description": '1: where the mode is not sure of a class but is of its group, name that ("dog") instead of '
        "unknown.",
        "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
    },
    "lang": {
        "description": "The language of error sentences. Default: by Accept-Language.",
        "schema": {"type": "string", "enum": ["en", "zh"]},
    },
    "explain": {
        "description": "1: say where the network looked for each guess, too. It takes several times as long.",
        "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
    },
}


@blueprint.get("/openapi.json")
def document() -> Response:
    """The OpenAPI 3.1 document."""
    return jsonify(describe(current_app.config["VERSION"]))


@blueprint.get("/docs")
def docs() -> str:
    """The document as a page."""
    return render_template("docs.html", document=describe(current_app.config["VERSION"]))


@cache
def describe(version: str) -> dict[str, Any]:
    """The whole document."""
    rooms = (
        schemas_corrections,
        schemas_trials,
        schemas_jobs,
        schemas_versions,
        schemas_albums,
        schemas_classes,
        schemas_v2,
    )
    pieces = models_json_schema(
        [(schema, "serialization") for schema in (*SCHEMAS, *(one for room in rooms for one in room.ANSWERS))]
        + [(schema, "validation") for room in rooms for schema in room.REQUESTS],
        ref_template="#/components/schemas/{model}",
    )
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Wanwu 万物识别",
            "version": version,
            "description": "Recognise things in photos, offline: 1000 everyday classes, and modes taught by the user.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/predict": {"post": _predict()},
            "/modes": {"get": get("List the modes", "listModes", "Modes", NotReady)},
            "/livez": {"get": get("Is the process alive?", "isAlive", "Alive")},
            "/readyz": {"get": _readiness()},
            "/metrics": {"get": text("Metrics for Prometheus", "readMetrics")},
            **inference_paths(),
            **correction_paths(),
            **modes_operations.paths(),
            **trial_paths(),
            **version_paths(),
            **class_paths(),
            **job_paths(),
            **report_paths(),
            **album_paths(),
        },
        "components": {
            "schemas": pieces[1]["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The administrator's ADMIN_TOKEN."}
            },
        },
    }
    _add_what_any_body_may_be_told(document["paths"])
    return document


def _add_what_any_body_may_be_told(paths: dict[str, dict[str, Any]]) -> None:
    """Whatever is sent may be too much, or come too slowly."""
    for path in paths.values():
        for operation in path.values():
            if "requestBody" in operation:
                told = {**errors(TooSlow, TooLarge), **operation["responses"]}
                operation["responses"] = dict(sorted(told.items()))


def _readiness() -> dict[str, Any]:
    described = get("Is every model warm?", "isReady", "Ready", NotReady)
    described["responses"]["503"]["content"]["application/problem+json"]["schema"] = reference("NotReadyYet")
    return described


def _predict() -> dict[str, Any]:
    fields = {name: {**field["schema"], "description": field["description"]} for name, field in _FIELDS.items()}
    schema = {"type": "object", "required": ["file"], "properties": {"file": FILES, **fields}}
    return {
        "summary": "Recognise the things in one or more photos",
        "operationId": "predict",
        "parameters": [
            *({"name": name, "in": "query", "required": False, **field} for name, field in _FIELDS.items()),
            _CALLER,
        ],
        "requestBody": {
            "required": True,
            "content": {
                **form(schema, file="image/*"),
                "image/*": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": answer("Prediction", "One result for each picture, in order."),
            **errors(*PREDICT_ERRORS),
        },
    }
