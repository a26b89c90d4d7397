"""The part of the OpenAPI document that tells of corrections and of their review."""

from typing import Any

from app.errors import (
    BadParameter,
    Busy,
    Conflict,
    Forbidden,
    InternalError,
    NotFound,
    NotReady,
    NotSaved,
    PublicError,
    RateLimited,
    StorageFull,
    TooLarge,
    TooManyPixels,
    UnknownMode,
    UnreadableImage,
    UnsupportedFormat,
)
from app.web.openapi_parts import BEARER, FILE, answer, errors, form, json_body, path_parameter, reference
from app.web.schemas_corrections import QueueAsked

_SENT_ERRORS: tuple[type[PublicError], ...] = (
    BadParameter, UnknownMode, Conflict, TooLarge, UnsupportedFormat, TooManyPixels, UnreadableImage, RateLimited,
    InternalError, Busy, NotReady, NotSaved, StorageFull,
)  # fmt: skip
_ID = path_parameter("correction_id", "As the answer or the queue names it.")


def correction_paths() -> dict[str, Any]:
    """The operations by path."""
    return {
        "/corrections": {"post": _send()},
        "/corrections/{correction_id}/undo": {"post": _undo()},
        "/api/corrections": {"get": _list()},
        "/api/corrections/counts": {"get": _counts()},
        "/api/corrections/{correction_id}": {"get": _read(), "post": _review()},
        "/api/corrections/{correction_id}/picture": {"get": _picture()},
    }


def _send() -> dict[str, Any]:
    schema = {"allOf": [reference("CorrectionSent"), {"type": "object", "properties": {"file": FILE}}]}
    return {
        "summary": "Say what would have been right. Sent again for the same answer, it changes what was said",
        "operationId": "correct",
        "requestBody": {
            "required": True,
            "content": {
                **form(schema, file="image/*"),
                **json_body("CorrectionSent")["content"],
            },
        },
        "responses": {"200": answer("CorrectionSaved", "What was stored."), **errors(*_SENT_ERRORS)},
    }


def _undo() -> dict[str, Any]:
    return {
        "summary": "Take a correction back, and its picture with it",
        "operationId": "takeCorrectionBack",
        "parameters": [_ID],
        "responses": {"200": answer("TakenBack", "It is gone."), **errors(NotFound, RateLimited, NotSaved)},
    }


def _list() -> dict[str, Any]:
    properties = QueueAsked.model_json_schema()["properties"].items()
    return {
        "summary": "List corrections, oldest first; those of pictures that look the same are one entry",
        "operationId": "listCorrections",
        "security": BEARER,
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.get("description", name),
                "schema": {key: value for key, value in schema.items() if key not in ("title", "description")},
            }
            for name, schema in properties
        ],
        "responses": {"200": answer("Queue", "A page of the queue."), **errors(BadParameter, Forbidden, NotSaved)},
    }


def _counts() -> dict[str, Any]:
    return {
        "summary": "How many corrections each mode has, and how many are new since its last training",
        "operationId": "countCorrections",
        "security": BEARER,
        "responses": {"200": answer("CorrectionCounts", "By mode."), **errors(Forbidden, NotSaved)},
    }


def _read() -> dict[str, Any]:
    return {
        "summary": "One entry as it is now",
        "operationId": "readCorrection",
        "security": BEARER,
        "parameters": [_ID],
        "responses": {"200": answer("QueueEntry", "The entry."), **errors(Forbidden, NotFound, NotSaved)},
    }


def _review() -> dict[str, Any]:
    return {
        "summary": "Accept, relabel or reject an entry, or undo that",
        "operationId": "reviewCorrection",
        "security": BEARER,
        "parameters": [_ID],
        "requestBody": json_body("Review"),
        "responses": {
            "200": answer("QueueEntry", "The entry as it is now."),
            **errors(BadParameter, Forbidden, NotFound, Conflict, NotSaved),
        },
    }


def _picture() -> dict[str, Any]:
    content = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "summary": "The picture that was kept with a correction",
        "operationId": "readCorrectionPicture",
        "security": BEARER,
        "parameters": [_ID],
        "responses": {
            "200": {"description": "A JPEG.", "content": content},
            **errors(Forbidden, NotFound, NotSaved),
        },
    }
