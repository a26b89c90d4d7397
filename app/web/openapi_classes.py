"""The part of the OpenAPI document that tells of adding a class to a mode."""

from typing import Any

from app.errors import BadModel, BadParameter, Busy, Conflict, Forbidden, NoFile, StorageFull, TooLarge, UnknownMode
from app.serving.new_photos import FEWEST, MOST, TooFewPhotos
from app.web.openapi_parts import FILE, answer, errors, form, path_parameter

_FORM = {
    "type": "object",
    "required": ["file", "label"],
    "properties": {
        "file": {
            "type": "array",
            "minItems": FEWEST,
            "maxItems": MOST,
            "items": FILE,
            "description": "Photos of the class. They are kept beside the mode, for it needs them to be trained again.",
        },
        "label": {"type": "string", "description": "The name of the class."},
        "label_zh": {"type": "string", "description": "The same in Chinese."},
        "promote": {
            "type": "string",
            "enum": ["0", "1"],
            "default": "0",
            "description": "1: let the new version serve at once, without a comparison.",
        },
    },
}


def class_paths() -> dict[str, dict[str, Any]]:
    """The path, with its method."""
    refused = (Forbidden, BadParameter, NoFile, UnknownMode, Conflict, TooLarge, TooFewPhotos, BadModel, Busy)
    post = {
        "summary": "Add a class from a few photos; nothing else of the mode is trained again",
        "operationId": "addClassToMode",
        "security": [{"bearer": []}],
        "requestBody": {"required": True, "content": form(_FORM, file="image/*")},
        "responses": {
            "201": answer("AddedClass", "The mode's next version."),
            **errors(*refused, StorageFull),
        },
    }
    return {"/api/modes/{mode}/classes": {"parameters": [path_parameter("mode", "Its key.")], "post": post}}
