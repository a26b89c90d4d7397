"""The part of the OpenAPI document that tells of trials."""

from typing import Any

from app.errors import BadParameter, Forbidden, NotReady, PublicError, Refused, UnknownMode
from app.web.openapi_parts import get, json_body, path_parameter

_ERRORS: tuple[type[PublicError], ...] = (Forbidden, UnknownMode, Refused, NotReady)


def trial_paths() -> dict[str, dict[str, Any]]:
    """The path, with its methods."""
    operations: dict[str, Any] = {
        "get": get("How a second version of a mode does", "readTrial", "TrialReport", *_ERRORS),
        "put": get("Try a second version of a mode", "beginTrial", "TrialReport", BadParameter, *_ERRORS),
        "delete": get("End the trial", "endTrial", "TrialReport", BadParameter, *_ERRORS),
    }
    for operation, schema in (("put", "TrialOrder"), ("delete", "TrialEnd")):
        operations[operation]["requestBody"] = json_body(schema, required=operation == "put")
    for operation in operations.values():
        operation["security"] = [{"bearer": []}]
    return {"/api/modes/{mode}/trial": {"parameters": [path_parameter("mode", "Its key.")], **operations}}
