"""Pieces of the OpenAPI document that every operation is put together from."""

from typing import Any

from app.errors import PublicError
from app.web.openapi_examples import EXAMPLES, EXAMPLES_IN_PATHS

BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""The security of what needs the administrator's token."""
FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
"""A file in a form, as OpenAPI 3.1 writes it; `form` says of which kind."""
FILES = {"type": "array", "minItems": 1, "items": FILE}


def get(summary: str, operation: str, schema: str, *errors_: type[PublicError]) -> dict[str, Any]:
    """An operation without parameters that answers JSON."""
    return {
        "summary": summary,
        "operationId": operation,
        "responses": {"200": answer(schema, summary), **errors(*errors_)},
    }


def text(summary: str, operation: str) -> dict[str, Any]:
    """An operation that answers plain text."""
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": summary,
        "operationId": operation,
        "responses": {"200": {"description": summary, "content": content}},
    }


def answer(schema: str, description: str) -> dict[str, Any]:
    """A response of JSON."""
    return {"description": description, "content": {"application/json": _described(schema)}}


def errors(*errors: type[PublicError]) -> dict[str, Any]:
    """One response a status, naming the codes that it may carry."""
    codes: dict[int, list[str]] = {}
    for error in errors:
        codes.setdefault(error.status, []).append(error.code)
    content = {"application/problem+json": _described("Problem")}
    return {
        str(status): {"description": "Code " + " or ".join(f"`{code}`" for code in listed), "content": content}
        for status, listed in sorted(codes.items())
    }


def json_body(schema: str, *, required: bool = True) -> dict[str, Any]:
    """A request body of JSON."""
    return {"required": required, "content": {"application/json": _described(schema)}}


def form(schema: dict[str, Any], **kinds: str) -> dict[str, Any]:
    """A multipart form of that schema; `kinds`: the MIME types of those of its properties that are files."""
    encoding = {name: {"contentType": kind} for name, kind in kinds.items()}
    return {"multipart/form-data": {"schema": schema, "encoding": encoding}}


def _described(schema: str) -> dict[str, Any]:
    example = {"example": EXAMPLES[schema]} if schema in EXAMPLES else {}
    return {"schema": reference(schema), **example}


def reference(schema: str) -> dict[str, str]:
    """Where a schema is described."""
    return {"$ref": f"#/components/schemas/{schema}"}


def path_parameter(name: str, description: str) -> dict[str, Any]:
    """A part of the address."""
    example = EXAMPLES_IN_PATHS[name]
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }
