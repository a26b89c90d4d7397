"""Pieces of the OpenAPI document that every operation is put together from."""

from typing import Any

from app.errors import PublicError


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
    return {"description": description, "content": {"application/json": {"schema": reference(schema)}}}


def errors(*errors: type[PublicError]) -> dict[str, Any]:
    """One response a status, naming the codes that it may carry."""
    codes: dict[int, list[str]] = {}
    for error in errors:
        codes.setdefault(error.status, []).append(error.code)
    content = {"application/problem+json": {"schema": reference("Problem")}}
    return {
        str(status): {"description": "Code " + " or ".join(f"`{code}`" for code in listed), "content": content}
        for status, listed in sorted(codes.items())
    }


def reference(schema: str) -> dict[str, str]:
    """Where a schema is described."""
    return {"$ref": f"#/components/schemas/{schema}"}


def path_parameter(name: str, description: str) -> dict[str, Any]:
    """A part of the address."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}
