"""The part of the OpenAPI document that tells of the Open Inference Protocol."""

from typing import Any

from app.errors import (
    BadParameter,
    Busy,
    DeadlineExceeded,
    InternalError,
    NotReady,
    PublicError,
    RateLimited,
    TooLarge,
    TooManyPixels,
    UnknownMode,
    UnknownVersion,
    UnreadableImage,
    UnsupportedFormat,
)
from app.web.openapi_parts import answer, errors, path_parameter, reference
from app.web.uploads import TooSlow

_NAME = path_parameter("name", "A mode's key.")
_VERSION = path_parameter("version", "The version that serves, as the mode's metadata says.")
_INFER_ERRORS: tuple[type[PublicError], ...] = (
    BadParameter, UnknownMode, UnknownVersion, TooSlow, TooLarge, UnsupportedFormat, TooManyPixels, UnreadableImage,
    RateLimited, InternalError, Busy, NotReady, DeadlineExceeded,
)  # fmt: skip
_BINARY = {"type": "string", "format": "binary"}
_LENGTH = "Inference-Header-Content-Length"
_LENGTH_SAYS = "How many of the body's first bytes are JSON; without it, all are."


def inference_paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    paths: dict[str, dict[str, Any]] = {
        "/v2": {"get": _get("What is this server?", "getServerMetadata", "ServerMetadata")},
        "/v2/health/live": {"get": _get("Is the process alive?", "isServerLive", "ServerLive")},
        "/v2/health/ready": {"get": _get("Is every model warm?", "isServerReady", "ServerReady", NotReady)},
    }
    for prefix, suffix, parameters in (
        ("/v2/models/{name}", "", [_NAME]),
        ("/v2/models/{name}/versions/{version}", "Version", [_NAME, _VERSION]),
    ):
        unknown = (NotReady, UnknownMode, *([UnknownVersion] if suffix else []))
        metadata = _get(
            "The tensors that a mode takes and gives", f"getModel{suffix}Metadata", "ModelMetadata", *unknown
        )
        is_ready = _get("Does the mode serve?", f"isModel{suffix}Ready", "ModelReady", *unknown)
        paths[prefix] = {"parameters": parameters, "get": metadata}
        paths[f"{prefix}/ready"] = {"parameters": parameters, "get": is_ready}
        paths[f"{prefix}/infer"] = {"parameters": parameters, "post": _infer(f"infer{suffix}")}
    return paths


def _get(summary: str, operation: str, schema: str, *refused: type[PublicError]) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": operation,
        "responses": {"200": answer(schema, summary), **_errors(*refused)},
    }


def _infer(operation: str) -> dict[str, Any]:
    answered = answer("InferAnswer", "One answer for each picture, in order.")
    answered["content"]["application/octet-stream"] = {"schema": _BINARY}
    answered["headers"] = {_LENGTH: {"description": _LENGTH_SAYS, "schema": {"type": "integer"}}}
    length = {"name": _LENGTH, "in": "header", "required": False, "description": _LENGTH_SAYS}
    return {
        "summary": "Recognise pictures by the Open Inference Protocol",
        "operationId": operation,
        "parameters": [{**length, "schema": {"type": "integer", "minimum": 0}}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": reference("InferRequest")},
                "application/octet-stream": {"schema": _BINARY},
            },
        },
        "responses": {"200": answered, **_errors(*_INFER_ERRORS)},
    }


def _errors(*refused: type[PublicError]) -> dict[str, Any]:
    content = {"application/json": {"schema": reference("InferError")}}
    return {status: {**response, "content": content} for status, response in errors(*refused).items()}
