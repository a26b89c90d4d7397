"""How gunicorn serves Wanwu; `python -m app serve` and a bare `gunicorn` both read this file. Imports no torch."""

import os
import shutil
import tempfile

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from app.config import read_settings
from app.errors import ConfigError

METRICS = "PROMETHEUS_MULTIPROC_DIR"

try:
    settings = read_settings()
except ConfigError as error:
    raise SystemExit(f"wanwu: {error}") from None

wsgi_app = "wsgi:app"
bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"

# One process holds one copy of the models, and its batches serve all callers; gunicorn's own WEB_CONCURRENCY asks for
# more. Models are loaded in each worker: torch's threads do not survive a fork, a warm master would hang its workers.
worker_class = "app.web.patience.PatientWorker"  # gthread, but for slow clients
preload_app = False

# Every request that may wait has a thread, and a few are left over: /livez and "busy" answer whatever waits.
threads = settings.max_queue + 16
worker_connections = threads + 1000

# Under gthread this is no limit on a request (DEADLINE_S is): it ends a worker that is stuck.
timeout = 120
graceful_timeout = max(30, int(settings.deadline_s) + 5)
keepalive = 30

accesslog = None  # the app logs each request, with its id
control_socket_disable = True  # no file in the home directory, which may be read-only


class JsonLogger(Logger):
    """What gunicorn says of itself, as objects. (Its own setting `logconfig_dict` would log each request's address.)"""

    def setup(self, cfg: Config) -> None:
        """Set its log up as ever, then change how it is written."""
        from app.web.logs import JsonFormatter

        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())


if settings.log_format == "json":
    logger_class = JsonLogger


def on_starting(server: Arbiter) -> None:
    """Give several workers one folder in which to add up their metrics and rates; one worker keeps them in memory."""
    if server.cfg.workers > 1:
        os.environ[METRICS] = tempfile.mkdtemp(prefix="wanwu-metrics-")
    else:
        os.environ.pop(METRICS, None)


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Share out the cores: all workers together have as many threads that compute as one would have alone."""
    os.environ["TORCH_THREADS"] = str(max(1, settings.torch_threads // server.cfg.workers))


def post_worker_init(worker: Worker) -> None:
    """Let streams of events end as the worker is told to stop: it waits for all that it still answers."""
    getattr(worker.wsgi, "extensions", {})["is_stopping"] = lambda: not worker.alive


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Forget the gauges of a worker that has gone."""
    if METRICS in os.environ:
        from prometheus_client import multiprocess  # not above: as it is imported, it looks whether METRICS is set

        multiprocess.mark_process_dead(worker.pid)


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """Stop the threads once the last request has been answered; the counts late, for the others still count."""
    extensions = getattr(worker.wsgi, "extensions", {})
    for name in ("recogniser", "upkeep", "counts", "rate_limits", "database"):
        if name in extensions:
            extensions[name].close()


def on_exit(server: Arbiter) -> None:
    """Remove what `on_starting` made."""
    if METRICS in os.environ:
        shutil.rmtree(os.environ[METRICS], ignore_errors=True)
