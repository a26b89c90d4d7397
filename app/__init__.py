"""Wanwu 万物识别: recognise things in photos, offline, on a plain CPU. Here the pieces are only put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Settings
    from app.serving.batching import Engine
    from app.serving.manager import ModelManager

VERSION = "0.1.0"
BOOT_FAILED = 3
"""The exit status that makes gunicorn give up rather than start the worker again and again."""


def create_app(settings: Settings | None = None, *, wait: bool = False) -> Flask:
    """The application; its models load in a thread, and `/readyz` tells when they are warm.

    `wait`: load them before returning, as the tests do. The imports stand inside, so that `import app.config` stays
    light for gunicorn's master, which must never load torch (a forked torch hangs).

    Raises:
        ConfigError: a setting is wrong.
    """
    from threading import Thread

    from flask import Flask

    from app.config import ROOT, read_settings
    from app.feedback.counts import Counts
    from app.feedback.database import Database
    from app.feedback.pulse import Pulse
    from app.feedback.upkeep import Upkeep
    from app.serving.manager import ModelManager
    from app.serving.recogniser import Recogniser
    from app.vision.decoders import POOL
    from app.web import failures, hooks, limits, login_session, metrics
    from app.web.blueprints import BLUEPRINTS
    from app.web.uploads import MemoryRequest

    settings = settings or read_settings()
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.request_class = MemoryRequest
    app.config.update(VERSION=VERSION, MAX_CONTENT_LENGTH=settings.max_upload_mb * 1024**2)
    app.extensions["settings"] = settings
    for room in (hooks, failures, limits, login_session):
        room.init_app(app, settings)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.extensions["database"] = database = Database(settings.database)
    app.extensions["pulse"] = Pulse(database)
    app.extensions["upkeep"] = upkeep = Upkeep(database, settings)
    app.extensions["counts"] = counts = Counts(database)
    POOL.start()
    manager = ModelManager(settings)
    app.extensions["recogniser"] = Recogniser(manager, settings, _engine(settings))
    if wait:
        manager.load()
        upkeep.once()
    else:
        upkeep.start()
        counts.start()
        metrics.follow(app.extensions["recogniser"])
        Thread(target=_load, args=(manager,), name="loader", daemon=True).start()
    return app


def _engine(settings: Settings) -> Engine | None:
    """Who runs the networks, where that is not this process: Ray is imported only for who has asked for it."""
    if settings.engine == "local":
        return None
    from app.cluster.engine import RayEngine

    return RayEngine(settings.torch_threads, settings.max_queue, settings.ray_address)


def _load(manager: ModelManager) -> None:
    """Load, then follow `models/`. A server that has nothing to serve ends, so that its supervisor sees it."""
    import logging
    import os

    from app.errors import OperatorError

    try:
        manager.load()
    except OperatorError as error:
        logging.getLogger(__name__).critical("%s", error)
        os._exit(BOOT_FAILED)
    manager.watch()
