"""A server with its administrator, and an album to fill."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.config import Settings


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = create_app(Settings(models_dir=tmp_path_factory.mktemp("models"), admin_token="let me in"), wait=True)
    app.testing = False
    yield app
    for name in ("recogniser", "upkeep", "counts", "database"):
        app.extensions[name].close()


@pytest.fixture
def admin(registry: Flask) -> FlaskClient:
    client = registry.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer let me in"
    return client


@pytest.fixture
def key(admin: FlaskClient) -> Iterator[str]:
    """An album of two empty classes, c1 cat 猫 and c2 dog 狗."""
    made: str = admin.post("/api/albums", json={"title_en": "Pets", "title_zh": "宠物"}).json["key"]
    for label, label_zh in (("cat", "猫"), ("dog", "狗")):
        admin.post(f"/api/albums/{made}/classes", json={"label": label, "label_zh": label_zh})
    yield made
    admin.delete(f"/api/albums/{made}")
