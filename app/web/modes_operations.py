"""`/api/modes…` as `/openapi.json` describes it."""

from collections.abc import Sequence
from typing import Any

from app.errors import BadModel, BadParameter, Conflict, Forbidden, PublicError, TooLarge, UnknownMode, UnknownVersion
from app.web.openapi_parts import BEARER, FILE, answer, errors, form, json_body, path_parameter

_AT = {
    "name": "at",
    "in": "query",
    "required": False,
    "description": "A time (ISO 8601, UTC unless it says otherwise): what served then?",
    "schema": {"type": "string", "format": "date-time"},
}
_IMPORT = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            **FILE,
            "description": "A .pth state_dict, or the zip of a version (manifest.json and its safetensors).",
        },
        "labels": {"type": "string", "description": "For a .pth: its labels file, .txt (one a line) or .json."},
        "title_en": {"type": "string"},
        "title_zh": {"type": "string"},
        "threshold": {"type": "number", "minimum": 0, "maximum": 1},
    },
}


def paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    return {
        "/api/modes": {"get": _operation("List the modes and their versions", "listRegistry", "RegisteredModes")},
        "/api/modes/{mode}": {
            "get": _operation("One mode and its versions", "getMode", "ModeRecord", UnknownMode, names=["mode"])
        },
        "/api/modes/{mode}/history": {
            "get": _operation(
                "What the mode served and since when, put there by whom and why", "getHistory", "History",
                BadParameter, UnknownMode, BadModel, names=["mode"], query=[_AT],
            )
        },
        "/api/modes/{mode}/rollback": {
            "post": _operation(
                "Go back to an earlier version that served", "rollBack", "Event",
                BadParameter, UnknownMode, UnknownVersion, Conflict, BadModel, names=["mode"],
                body=json_body("RollBack", required=False),
            )
        },
        "/api/modes/{mode}/versions/{version}": {
            "delete": _operation(
                "Delete a version that is neither active nor on trial", "deleteVersion", "ModeRecord",
                UnknownMode, UnknownVersion, Conflict, BadModel, names=["mode", "version"],
            )
        },
        "/api/modes/{mode}/import": {
            "post": _operation(
                "Make an uploaded model the mode's next version", "importVersion", "VersionRecord",
                BadParameter, Conflict, TooLarge, BadModel, names=["mode"], status=201,
                body={"required": True, "content": form(_IMPORT, file="application/octet-stream")},
            )
        },
    }  # fmt: skip


def _operation(
    summary: str,
    operation: str,
    schema: str,
    *raised: type[PublicError],
    names: Sequence[str] = (),
    query: Sequence[dict[str, Any]] = (),
    body: dict[str, Any] | None = None,
    status: int = 200,
) -> dict[str, Any]:
    """One operation that needs the administrator's token; `names` are those in its path."""
    in_path = [path_parameter(name, f"The {name}'s key.") for name in names]
    return {
        "summary": summary,
        "operationId": operation,
        "security": BEARER,
        "parameters": [*in_path, *query],
        **({"requestBody": body} if body else {}),
        "responses": {str(status): answer(schema, summary), **errors(Forbidden, *raised)},
    }
