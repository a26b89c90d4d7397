"""The part of the OpenAPI document that tells of jobs."""

from typing import Any

from app.errors import BadParameter, Busy, Conflict, Forbidden, NotFound, PublicError, UnknownMode, UnknownVersion
from app.web.openapi_parts import answer, errors, get, json_body, path_parameter


def job_paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    job = {"parameters": [path_parameter("job_id", "As the answer that started it names it.")]}
    return {
        "/api/modes/{mode}/promote": _starting(
            "Promote a version if it is better than the active one", "promote", "PromotionOrder", UnknownVersion
        ),
        "/api/modes/{mode}/retrain": _starting(
            "Learn from corrections, and promote what is better", "retrain", "RetrainingOrder"
        ),
        "/api/modes/{mode}/export": _starting(
            "Write a version for programs without Wanwu", "exportVersion", "ExportOrder", UnknownVersion
        ),
        "/api/jobs": {"get": _guarded(get("List the jobs", "listJobs", "Jobs", Forbidden))},
        "/api/jobs/{job_id}": {
            **job,
            "get": _guarded(get("One job, and its answer", "getJob", "StartedJob", Forbidden, NotFound)),
            "delete": _guarded(get("Cancel a job", "cancelJob", "StartedJob", Forbidden, NotFound)),
        },
        "/api/jobs/{job_id}/events": {**job, "get": _guarded(_events())},
        "/api/jobs/{job_id}/files": {**job, "get": _guarded(_files())},
    }


def _events() -> dict[str, Any]:
    after = {
        "name": "after",
        "in": "query",
        "required": False,
        "description": "The id of the last event that is known; the header Last-Event-ID says the same.",
        "schema": {"type": "integer", "minimum": 0, "default": 0},
    }
    told = (
        "Server-sent events, 20 seconds of them at most: `part` (name, length), `step` (done), `epoch` (its figures) "
        "and `say` (en, zh) as JSON; the event named `end` brings the job. Come back with the last id until then."
    )
    return {
        "summary": "A job as it goes",
        "operationId": "watchJob",
        "parameters": [after],
        "responses": {
            "200": {"description": told, "content": {"text/event-stream": {}}},
            **errors(BadParameter, Forbidden, NotFound, Busy),
        },
    }


def _files() -> dict[str, Any]:
    content = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "summary": "What a job wrote",
        "operationId": "getFiles",
        "responses": {"200": {"description": "A zip.", "content": content}, **errors(Forbidden, NotFound)},
    }


def _starting(summary: str, operation: str, schema: str, *more: type[PublicError]) -> dict[str, Any]:
    post = {
        "summary": summary,
        "operationId": operation,
        "requestBody": json_body(schema, required=schema == "PromotionOrder"),
        "responses": {
            "202": answer("StartedJob", "Begun: ask /api/jobs/{job_id} how it goes."),
            **errors(BadParameter, Forbidden, UnknownMode, Conflict, *more),
        },
    }
    return {"parameters": [path_parameter("mode", "Its key.")], "post": _guarded(post)}


def _guarded(operation: dict[str, Any]) -> dict[str, Any]:
    return {**operation, "security": [{"bearer": []}]}
