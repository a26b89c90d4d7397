"""A request's JSON, checked: not so large that others wait, and of exactly the types that it is described with."""

from collections.abc import Mapping
from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from app.errors import BadParameter

MAX_BYTES = 1024**2
"""The largest body that anybody needs moves 20 000 photos of an album, and has 400 kB."""
Body = TypeVar("Body", bound=BaseModel)
Words = tuple[str, str]
"""What a parameter must be, in English and in Chinese."""
_AS_DESCRIBED = ("as /docs describes it", "符合 /docs 的说明")
_NONE: Mapping[str, Words] = {}


def read_json(schema: type[Body], must_be: Mapping[str, Words] = _NONE, otherwise: Words = _AS_DESCRIBED) -> Body:
    """The request's JSON; an empty body is an empty object.

    Raises:
        BadParameter: it is none, or does not fit; the error names the first member that does not, and says what that
            must be, or `otherwise`.
        RequestEntityTooLarge: there is more than `MAX_BYTES` of it.
    """
    request.max_content_length = MAX_BYTES
    try:
        return schema.model_validate_json(request.get_data() or b"{}", strict=True)
    except ValidationError as error:
        raise bad_parameter(error, must_be, otherwise) from error


def bad_parameter(error: ValidationError, must_be: Mapping[str, Words], otherwise: Words) -> BadParameter:
    """The first thing that is wrong, as the caller is told."""
    name = str(next(iter(error.errors()[0]["loc"]), "body"))
    en, zh = must_be.get(name, otherwise)
    return BadParameter(name=name[:64], en=en, zh=zh)
