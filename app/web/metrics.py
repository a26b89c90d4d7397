"""What Prometheus may ask: answers by mode, version and outcome, seconds by stage, pictures inside, drift.

Several workers add up their numbers in files (`PROMETHEUS_MULTIPROC_DIR`, which gunicorn.conf.py sets). What a gauge
says of another worker is at most `EVERY_S` old.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, current_app, g, has_request_context
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.config import Settings
from app.registry.following import store_answers
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.web import drift

blueprint = Blueprint("metrics", __name__)

EVERY_S = 1.0
MAX_VERSIONS = 100
"""Versions that a process counts by name; those that come later are "other", for each name is kept for ever."""
_OTHER = "other"

REQUESTS = Counter("wanwu_requests", "Answered requests.", ["path", "status", "code"])
PICTURES = Counter(
    "wanwu_pictures",
    "Pictures by mode, version and outcome: known, unknown, or an error's code, which is in code, too.",
    ["mode", "version", "outcome", "code"],
)
ANSWERS = Counter(
    "wanwu_answers",
    "Classes named, by mode and version; of a mode of more than 50 classes their groups, where it has such.",
    ["mode", "version", "label"],
)
VERSIONS = Counter(
    "wanwu_version_pictures",
    "Pictures by mode, version and role: active, split (two versions share the callers) or shadow (answers nobody).",
    ["mode", "version", "role"],
)
STAGES = Histogram(
    "wanwu_stage_seconds",
    "Seconds by stage of a request: decode, queue, infer, total; of its slowest picture.",
    ["stage", "mode", "version", "precision"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
IN_FLIGHT = Gauge("wanwu_pictures_in_flight", "Pictures waiting or running.", multiprocess_mode="livesum")
QUEUE = Gauge(
    "wanwu_queue_pictures", "Pictures inside: waiting for a core, or running.", ["state"], multiprocess_mode="livesum"
)
MEMORY = Gauge("wanwu_resident_bytes", "Resident memory, of all workers together.", multiprocess_mode="livesum")


@blueprint.get("/metrics")
def metrics() -> Response:
    """The text format of Prometheus, summed over the workers."""
    recogniser: Recogniser = current_app.extensions["recogniser"]
    settings: Settings = current_app.extensions["settings"]
    _read_gauges(recogniser)
    registry = PROCESS_REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    found = list(registry.collect())
    derived = drift.families(_named_in(found), _served(recogniser), settings.models_dir)
    page = CollectorRegistry()
    page.register(_Collected([*found, *derived, *_store(settings)]))
    return Response(generate_latest(page), content_type=CONTENT_TYPE_LATEST)


def observe(mode: Mode, results: list[dict[str, Any]], timing_ms: Mapping[str, float]) -> None:
    """Count one answered request's pictures and time, and let its line in the log say so."""
    version = _named(mode)
    unknown = 0
    for result in results:
        code = result["error"]["code"] if "error" in result else ""
        unknown += not code and result["unknown"]
        PICTURES.labels(mode.key, version, code or ("unknown" if result["unknown"] else "known"), code).inc()
        name = None if code or result["unknown"] or version == _OTHER else _class_of(mode, result)
        if name:
            ANSWERS.labels(mode.key, version, name).inc()
    for stage, milliseconds in timing_ms.items():
        STAGES.labels(stage, mode.key, version, mode.model.precision).observe(milliseconds / 1000)
    if has_request_context():
        g.recognised = {"mode": mode.key, "version": mode.model.version, "pictures": len(results), "unknown": unknown}


def observe_refused(mode: Mode, code: str) -> None:
    """Count the one bad picture for which a request failed as a whole."""
    PICTURES.labels(mode.key, _named(mode), code, code).inc()
    g.recognised = {"mode": mode.key, "version": mode.model.version, "pictures": 1}


def observe_version(mode: Mode, role: str, pictures: int) -> None:
    """Count pictures that a version saw in a role."""
    VERSIONS.labels(mode.key, _named(mode), role).inc(pictures)


def follow(recogniser: Recogniser) -> None:
    """Where there are several workers: keep this one's gauges fresh for whichever of them is asked."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        threading.Thread(target=_follow, args=(recogniser,), name="gauges", daemon=True).start()


def _follow(recogniser: Recogniser) -> None:
    asleep = threading.Event()
    while True:
        _read_gauges(recogniser)
        asleep.wait(EVERY_S)


def _read_gauges(recogniser: Recogniser) -> None:
    inside = recogniser.in_flight
    waiting = min(recogniser.waiting, inside)
    IN_FLIGHT.set(inside)
    QUEUE.labels("waiting").set(waiting)
    QUEUE.labels("running").set(inside - waiting)
    for family in PROCESS_COLLECTOR.collect():
        if family.name == "process_resident_memory_bytes":
            MEMORY.set(family.samples[0].value)


_names: set[tuple[str, str]] = set()


def _named(mode: Mode) -> str:
    """As which version `mode` is counted. Its classes begin at 0, so that a rate knows when the first was named."""
    name = (mode.key, mode.model.version)
    if name in _names:
        return name[1]
    if len(_names) >= MAX_VERSIONS:
        return _OTHER
    _names.add(name)
    for label in drift.class_names(mode):
        ANSWERS.labels(*name, label)
    return name[1]


def _class_of(mode: Mode, result: Mapping[str, Any]) -> str | None:
    if result.get("level") == "group":
        return str(result["label"])
    return drift.class_name(mode, result["top"][0]["index"])


def _store(settings: Settings) -> Iterator[Metric]:
    answers = store_answers(settings)
    if answers is not None:
        yield GaugeMetricFamily("wanwu_store_up", "1 while the store of MODELS_STORE answers, 0 while not.", answers)


def _named_in(families: Iterable[Metric]) -> drift.Named:
    named: drift.Named = defaultdict(dict)
    for family in families:
        for sample in family.samples:
            if sample.name == "wanwu_answers_total":
                labels = sample.labels
                named[labels["mode"], labels["version"]][labels["label"]] = sample.value
    return named


def _served(recogniser: Recogniser) -> Iterator[Mode]:
    """Every version that answers somebody now, or looks on."""
    for mode in recogniser.modes():
        yield mode
        contender = recogniser.arms(mode.key).contender
        if contender is not None:
            yield contender.mode


class _Collected(Collector):
    """What has been collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
