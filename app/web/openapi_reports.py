"""The part of the OpenAPI document that tells of a version's report, and of trying it."""

from typing import Any

from app.errors import (
    BadModel,
    BadParameter,
    Busy,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    NoFile,
    NotFound,
    TooLarge,
    TooManyPixels,
    UnknownMode,
    UnknownVersion,
    UnreadableImage,
    UnsupportedFormat,
)
from app.web.openapi_parts import FILES, answer, errors, form, path_parameter

_VERSION = [path_parameter("mode", "Its key."), path_parameter("version", "Its name.")]
_UNKNOWN = (Forbidden, UnknownMode, UnknownVersion, Conflict)


def report_paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    path = "/api/modes/{mode}/versions/{version}"
    return {
        f"{path}/report": {
            "parameters": _VERSION,
            "get": _file("The report of a version's training, as a page", "readReport", "text/html", "string"),
        },
        f"{path}/report.json": {
            "parameters": _VERSION,
            "get": _file("The same as JSON", "getReport", "application/json", "object"),
        },
        f"{path}/try": {"parameters": _VERSION, "post": _try()},
    }


def _file(summary: str, operation: str, kind: str, shape: str) -> dict[str, Any]:
    content = {kind: {"schema": {"type": shape}}}
    return {
        "summary": summary,
        "operationId": operation,
        "security": [{"bearer": []}],
        "responses": {"200": {"description": summary, "content": content}, **errors(*_UNKNOWN, NotFound)},
    }


def _try() -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": {"file": FILES}}
    refusals = (BadParameter, NoFile, TooLarge, UnsupportedFormat, TooManyPixels, UnreadableImage, BadModel)
    return {
        "summary": "Recognise photos by a version, in service or not; threshold, top_k and lang as for /predict",
        "operationId": "tryVersion",
        "security": [{"bearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                **form(schema, file="image/*"),
                "image/*": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": answer("Prediction", "As /predict answers; it counts nowhere."),
            **errors(*_UNKNOWN, *refusals, Busy, DeadlineExceeded),
        },
    }
