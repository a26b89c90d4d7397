"""What Prometheus may ask: answers by mode and outcome, seconds by stage, pictures inside."""

import os
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client.multiprocess import MultiProcessCollector

from app.serving.mode import Mode

blueprint = Blueprint("metrics", __name__)

MAX_VERSIONS = 100
"""Versions that a process counts by name; those that come later are "other", for each name is kept for ever."""

REQUESTS = Counter("wanwu_requests", "Answered requests.", ["path", "status", "code"])
PICTURES = Counter(
    "wanwu_pictures", "Pictures by mode and outcome: known, unknown, or an error's code.", ["mode", "outcome"]
)
VERSIONS = Counter(
    "wanwu_version_pictures",
    "Pictures by mode, version and role: active, split (two versions share the callers) or shadow (answers nobody).",
    ["mode", "version", "role"],
)
STAGES = Histogram(
    "wanwu_stage_seconds",
    "Seconds by stage of a request: decode, queue, infer, total.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
IN_FLIGHT = Gauge("wanwu_pictures_in_flight", "Pictures waiting or running.", multiprocess_mode="livesum")


@blueprint.get("/metrics")
def metrics() -> Response:
    """The text format of Prometheus, summed over the workers."""
    IN_FLIGHT.set(current_app.extensions["recogniser"].in_flight)
    registry = PROCESS_REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def observe(mode: Mode, results: list[dict[str, Any]], timing_ms: Mapping[str, float]) -> None:
    """Count one answered request's pictures and time."""
    for result in results:
        outcome = result["error"]["code"] if "error" in result else "unknown" if result["unknown"] else "known"
        PICTURES.labels(mode.key, outcome).inc()
    for stage, milliseconds in timing_ms.items():
        STAGES.labels(stage).observe(milliseconds / 1000)


_named: set[tuple[str, str]] = set()


def observe_version(mode: Mode, role: str, pictures: int) -> None:
    """Count pictures that a version saw in a role."""
    name = (mode.key, mode.model.version)
    if name not in _named and len(_named) < MAX_VERSIONS:
        _named.add(name)
    VERSIONS.labels(mode.key, name[1] if name in _named else "other", role).inc(pictures)
