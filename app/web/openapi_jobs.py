"""The part of the OpenAPI document that tells of jobs."""

from typing import Any

from app.errors import AlreadyActive, BadParameter, Forbidden, NotFound, PublicError, UnknownMode, UnknownVersion
from app.web.openapi_parts import answer, errors, path_parameter, reference

_MODE = path_parameter("mode", "Its key.")
_ID = path_parameter("id", "The job's id.")


def job_paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    return {
        "/api/modes/{mode}/promote": {
            "parameters": [_MODE],
            "post": _start(
                "Promote a version if it is better than the active one, in a job", "promote", "PromoteOrder", True,
                BadParameter, UnknownMode, UnknownVersion, AlreadyActive,
            ),
        },
        "/api/modes/{mode}/retrain": {
            "parameters": [_MODE],
            "post": _start(
                "Learn from what was corrected, and promote the new version if it is better, in a job",
                "retrain", "RetrainOrder", False, BadParameter, UnknownMode, AlreadyActive,
            ),
        },
        "/api/jobs": {"get": _operation("Every job, the newest first", "listJobs", "Jobs")},
        "/api/jobs/{id}": {
            "parameters": [_ID],
            "get": _operation("One job, with the end of what it has printed", "readJob", "JobDetail", NotFound),
            "delete": _operation("End a job that runs", "cancelJob", "JobDetail", NotFound),
        },
    }  # fmt: skip


def _start(
    summary: str, operation: str, order: str, required: bool, *raised: type[PublicError]
) -> dict[str, Any]:  # fmt: skip
    described = _operation(summary, operation, "JobStarted", *raised)
    answered = described["responses"].pop("200")
    answered["headers"] = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
    content = {"application/json": {"schema": reference(order)}}
    body = {"required": required, "content": content}
    return {**described, "requestBody": body, "responses": {"202": answered, **described["responses"]}}


def _operation(summary: str, operation: str, schema: str, *raised: type[PublicError]) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": operation,
        "security": [{"bearer": []}],
        "responses": {"200": answer(schema, summary), **errors(Forbidden, *raised)},
    }
