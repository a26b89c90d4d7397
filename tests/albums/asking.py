"""Help for the tests of albums over HTTP: send photos and zips, and check what comes back."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator


def models_of(app: Flask) -> Path:
    path: Path = app.extensions["settings"].models_dir
    return path


def send(admin: FlaskClient, key: str, class_id: str, *photos: bytes) -> Any:
    files = [(io.BytesIO(photo), f"{number}.jpg") for number, photo in enumerate(photos)]
    return admin.post(f"/api/albums/{key}/classes/{class_id}/photos", data={"file": files})


def send_zip(admin: FlaskClient, key: str, entries: dict[str, bytes]) -> Any:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return admin.post(f"/api/albums/{key}/zip", data={"file": (io.BytesIO(packed.getvalue()), "photos.zip")})


def counts(album: dict[str, Any]) -> dict[str, int]:
    return {one["label"]: len(one["photos"]) for one in album["classes"]}


def check(admin: FlaskClient, schema: str, body: Any) -> None:
    """The answer is as `/openapi.json` says."""
    document = admin.get("/openapi.json").json
    described = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    Draft202012Validator(described).validate(json.loads(json.dumps(body)))
