"""The part of the OpenAPI document that tells of single versions: thresholds, scores, comparisons."""

from typing import Any

from app.errors import (
    BadModel,
    BadParameter,
    Conflict,
    Forbidden,
    NotSaved,
    PublicError,
    UnknownMode,
    UnknownVersion,
)
from app.web.openapi_parts import answer, errors, json_body, path_parameter

_MODE = path_parameter("mode", "Its key.")
_ERRORS: tuple[type[PublicError], ...] = (Forbidden, UnknownMode, UnknownVersion, Conflict)


def version_paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    scores = {
        "summary": "How sure a version is of what it knows, and of what it does not",
        "operationId": "getScores",
        "security": [{"bearer": []}],
        "responses": {"200": answer("Scores", "What a threshold rests on."), **errors(*_ERRORS, BadModel, NotSaved)},
    }
    return {
        "/api/modes/{mode}/threshold": {
            "parameters": [_MODE],
            "put": _changing(
                "Set below which confidence a version says unknown, or give it its own threshold again",
                "setThreshold", "ThresholdOrder", {"200": answer("Event", "As the history has it.")}, BadModel,
            ),
        },
        "/api/modes/{mode}/compare": {
            "parameters": [_MODE],
            "post": _changing(
                "Let two versions answer the same held-out pictures; nothing is switched",
                "compareVersions", "CompareOrder", {"202": answer("StartedJob", "Begun: ask /api/jobs/{job_id}.")},
            ),
        },
        "/api/modes/{mode}/versions/{version}/scores": {
            "parameters": [_MODE, path_parameter("version", "Its name.")],
            "get": scores,
        },
    }  # fmt: skip


def _changing(
    summary: str, operation: str, schema: str, responses: dict[str, Any], *more: type[PublicError]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": operation,
        "security": [{"bearer": []}],
        "requestBody": json_body(schema),
        "responses": {**responses, **errors(BadParameter, *_ERRORS, *more)},
    }
