"""The part of the OpenAPI document that tells of albums."""

from typing import Any

from app.errors import (
    BadParameter,
    Busy,
    Conflict,
    Forbidden,
    NoFile,
    NotFound,
    PublicError,
    StorageFull,
    TooLarge,
)
from app.photos.album_errors import BadArchive, CannotTeach, NotEnough
from app.web.openapi_parts import FILE, FILES, answer, errors, form, json_body, path_parameter

_KEY = path_parameter("key", "The mode's key.")
_CLASS = path_parameter("class_id", "As the album names it.")
_PHOTO = path_parameter("photo_id", "As the album names it.")
_MAY_BE_LEFT_OUT = ("TrainingOrder", "AlbumTitles", "ClassNames")
_CHANGED: tuple[type[PublicError], ...] = (BadParameter, NotFound, Conflict, StorageFull)


def album_paths() -> dict[str, dict[str, Any]]:
    """The paths, each with its methods."""
    return {
        "/api/albums": {
            "get": _operation("List the albums", "listAlbums", "Albums"),
            "post": _operation("Begin an album", "createAlbum", "AlbumShown", *_CHANGED, body="NewAlbum", status=201),
        },
        "/api/albums/{key}": {
            "parameters": [_KEY],
            "get": _operation("One album with its photos", "getAlbum", "AlbumShown", NotFound),
            "patch": _operation("Rename an album", "renameAlbum", "AlbumShown", *_CHANGED, body="AlbumTitles"),
            "delete": _operation(
                "Delete an album with its photos; the versions that learned from them stay", "deleteAlbum", "Albums",
                NotFound,
            ),
        },
        "/api/albums/{key}/classes": {
            "parameters": [_KEY],
            "post": _operation("Begin a class", "addClass", "AlbumShown", *_CHANGED, body="NewClass", status=201),
        },
        "/api/albums/{key}/classes/{class_id}": {
            "parameters": [_KEY, _CLASS],
            "patch": _operation("Rename a class", "renameClass", "AlbumShown", *_CHANGED, body="ClassNames"),
            "delete": _operation(
                "Delete a class; restoring its photos brings it back", "deleteClass", "AlbumShown", NotFound
            ),
        },
        **_training_paths(),
        **_photo_paths(),
    }  # fmt: skip


def _training_paths() -> dict[str, dict[str, Any]]:
    return {
        "/api/albums/{key}/findings": {
            "parameters": [_KEY],
            "get": _operation("What the examination says of the photos", "getFindings", "Findings", NotFound),
        },
        "/api/albums/{key}/train": {
            "parameters": [_KEY],
            "post": _operation(
                "Teach the mode from its photos", "trainAlbum", "StartedJob", NotEnough, CannotTeach, *_CHANGED,
                body="TrainingOrder", status=202,
            ),
        },
    }  # fmt: skip


def _photo_paths() -> dict[str, dict[str, Any]]:
    changing = {
        "move": ("Move photos to another class", "MovedPhotos"),
        "remove": ("Remove photos; they can be restored until the next training", "SomePhotos"),
        "restore": ("Put removed photos back", "SomePhotos"),
    }
    paths: dict[str, dict[str, Any]] = {
        f"/api/albums/{{key}}/photos/{what}": {
            "parameters": [_KEY],
            "post": _operation(summary, f"{what}Photos", "AlbumShown", *_CHANGED, body=body),
        }
        for what, (summary, body) in changing.items()
    }
    sending = _operation(
        "Put photos into a class", "sendPhotos", "PhotoResults", NoFile, NotFound, TooLarge, Busy, StorageFull
    )
    zipped = _operation(
        "Put the photos of a zip into the classes that its folders name", "sendZip", "ZipResult",
        BadParameter, NotFound, TooLarge, BadArchive, Busy, StorageFull,
    )  # fmt: skip
    return {
        **paths,
        "/api/albums/{key}/classes/{class_id}/photos": {
            "parameters": [_KEY, _CLASS],
            "post": {**sending, "requestBody": _form(FILES, "image/*")},
        },
        "/api/albums/{key}/photos/{photo_id}": {"parameters": [_KEY, _PHOTO], "get": _picture()},
        "/api/albums/{key}/zip": {
            "parameters": [_KEY],
            "post": {**zipped, "requestBody": _form(FILE, "application/zip")},
        },
    }


def _operation(
    summary: str, name: str, schema: str, *more: type[PublicError], body: str | None = None, status: int = 200
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": name,
        "security": [{"bearer": []}],
        "responses": {str(status): answer(schema, summary), **errors(Forbidden, *more)},
    }
    if body:
        operation["requestBody"] = json_body(body, required=body not in _MAY_BE_LEFT_OUT)
    return operation


def _form(file: dict[str, Any], kind: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": {"file": file}}
    return {"required": True, "content": form(schema, file=kind)}


def _picture() -> dict[str, Any]:
    size = {
        "name": "size",
        "in": "query",
        "required": False,
        "description": "small: a thumbnail of 240 pixels at most.",
        "schema": {"type": "string", "enum": ["small"]},
    }
    content = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "summary": "A photo of an album",
        "operationId": "readAlbumPhoto",
        "security": [{"bearer": []}],
        "parameters": [size],
        "responses": {
            "200": {"description": "A JPEG.", "content": content},
            **errors(BadParameter, Forbidden, NotFound),
        },
    }
