"""Wanwu 万物识别: recognise things in photos, offline, on a plain CPU. Here the pieces are only put together."""

import logging
import os
import threading
from io import BytesIO
from typing import IO

from flask import Flask, Request

from app import torchvision_cpu  # noqa: F401 - before the first import of torchvision
from app.config import ROOT, Settings, read_settings
from app.errors import OperatorError
from app.serving.manager import ModelManager
from app.serving.recogniser import Recogniser
from app.web import failures, hooks, limits, metrics, openapi, pages, predict, status

LOG = logging.getLogger(__name__)
VERSION = "0.1.0"
BOOT_FAILED = 3
"""The exit status that makes gunicorn give up rather than start the worker again and again."""


class MemoryRequest(Request):
    """Keeps uploads in memory: pictures never touch the disk, not even in passing."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()


def create_app(settings: Settings | None = None, *, wait: bool = False) -> Flask:
    """The application; its models load in a thread, and `/readyz` tells when they are warm.

    `wait`: load them before returning, as the tests do.

    Raises:
        ConfigError: a setting is wrong.
    """
    settings = settings or read_settings()
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.request_class = MemoryRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_mb * 1024**2
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    hooks.init_logging(settings.log_format)
    hooks.init_app(app)
    failures.init_app(app)
    limits.init_app(app, settings.rate_limit)
    app.config["VERSION"] = VERSION
    app.extensions["settings"] = settings
    for blueprint in (predict.blueprint, status.blueprint, metrics.blueprint, openapi.blueprint, pages.pages):
        app.register_blueprint(blueprint)
    manager = ModelManager(settings)
    app.extensions["recogniser"] = Recogniser(manager, settings)
    if wait:
        manager.load()
    else:
        threading.Thread(target=_load, args=(manager,), name="loader", daemon=True).start()
    return app


def _load(manager: ModelManager) -> None:
    """Load, then follow `models/`. A server that has nothing to serve ends, so that its supervisor sees it."""
    try:
        manager.load()
    except OperatorError as error:
        LOG.critical("%s", error)
        os._exit(BOOT_FAILED)
    manager.watch()
