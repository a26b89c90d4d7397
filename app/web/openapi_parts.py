"""Pieces of the OpenAPI document that every description uses."""

from typing import Any

from app.errors import PublicError


def answer(schema: str, description: str) -> dict[str, Any]:
    """A response of that schema."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def problems(*errors: type[PublicError]) -> dict[str, Any]:
    """One response a status, naming the codes that it may carry."""
    codes: dict[int, list[str]] = {}
    for error in errors:
        codes.setdefault(error.status, []).append(error.code)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": "Code " + " or ".join(f"`{code}`" for code in listed), "content": content}
        for status, listed in sorted(codes.items())
    }
