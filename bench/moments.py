"""Single figures of Wanwu's: several modes at once, time to ready, /livez under load, and the slowest request."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Any

import torch

from app.config import Settings
from app.serving.manager import ModelManager
from bench import pictures
from bench.contenders import PLAIN
from bench.heads import mode_key, write_heads
from bench.load import Outcome
from bench.report import figures
from bench.rounds import Setting, ask, load
from bench.scaling import WANWUS
from bench.servers import running

PASSES = 40
"""Forward passes a round."""
STARTS = 5
ASKED = 40
HAMMERING = 64
STEADY = 500
STEADY_CONNECTIONS = 16


def at_once(setting: Setting) -> dict[str, Any]:
    """Five modes asked at once against one, in this process: a picture through the backbone and the heads."""
    models = setting.folder / "models-at-once"
    write_heads(models, range(5), setting.weights)
    result = {}
    for contender in WANWUS:
        precision = contender.settings["PRECISION"]
        manager = ModelManager(Settings(resnet18_weights=setting.weights, models_dir=models, precision=precision))
        manager.load()
        picture = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        keys = [mode_key(number) for number in range(5)]
        taken: dict[int, list[float]] = {1: [], 5: []}
        for number in range(setting.rounds * PASSES):
            for count in (1, 5) if number % 2 == 0 else (5, 1):
                started = time.perf_counter()
                manager.predict_modes(picture, keys[:count])
                taken[count].append((time.perf_counter() - started) * 1000)
        result[contender.name] = {"one_ms": median(taken[1]), "five_ms": median(taken[5])}
    return {"modes": result}


def starts(setting: Setting) -> dict[str, Any]:
    """Seconds from the start of the command to the first good answer of /readyz."""
    taken: dict[str, list[float]] = {}
    for _ in range(STARTS):
        for contender in (PLAIN, *WANWUS):
            with running(contender, setting.weights, setting.folder) as server:
                taken.setdefault(contender.name, []).append(server.ready_s)
    return {"ready_s": {name: median(seconds) for name, seconds in taken.items()}, "starts": STARTS}


def stages(setting: Setting) -> dict[str, Any]:
    """Where the time of a lone request goes, as the answers themselves say: milliseconds, medians."""
    files = {"small 0.2 MP": setting.folder / "small.jpg", "phone 12 MP": setting.folder / "large.jpg"}
    for make, path in zip((pictures.small, pictures.large), files.values(), strict=True):
        make(path)
    result: dict[str, Any] = {}
    for contender in WANWUS:
        with running(contender, setting.weights, setting.folder) as server:
            for name, path in files.items():
                told = [ask(server.port, path)["timing_ms"] for _ in range(ASKED)]
                medians = {stage: median(one[stage] for one in told) for stage in told[0]}
                result.setdefault(contender.name, {})[name] = medians
    return {"asked": ASKED, "servers": result}


def livez(setting: Setting) -> dict[str, Any]:
    """How long /livez takes to answer, asked up to 20 times a second, while as many as are let in post pictures."""
    picture = setting.folder / "small.jpg"
    pictures.small(picture)
    result = {}
    seconds = 3 * setting.seconds * setting.rounds  # a p99 needs many answers
    for contender in WANWUS:
        with running(contender, setting.weights, setting.folder) as server, ThreadPoolExecutor(1) as aside:
            hammering = aside.submit(load, server.port, picture, HAMMERING, seconds + 2)
            probing = ("--copies", "0", "--path", "/livez", "--pause", "0.05")
            probe = figures([load(server.port, picture, 1, seconds, *probing)])
            result[contender.name] = {
                "p50_ms": probe.p50_ms,
                "p99_ms": probe.p99_ms,
                "answers": probe.requests,
                "errors": probe.errors + figures([hammering.result()]).errors,
            }
    return {"connections": HAMMERING, "servers": result}


def steadiness(setting: Setting) -> dict[str, Any]:
    """The slowest of 500 requests from 16 callers, and their median: a round each, and the middle round of them."""
    picture = setting.folder / "small.jpg"
    pictures.small(picture)
    result = {}
    with ExitStack() as stack:
        up = [stack.enter_context(running(one, setting.weights, setting.folder)) for one in WANWUS]
        for server in up:
            server.rest()
        outcomes: dict[str, list[Outcome]] = {server.name: [] for server in up}
        for _ in range(setting.rounds):
            for server in up:
                with server.awake():
                    one = load(server.port, picture, STEADY_CONNECTIONS, 0.1, "--at-least", str(STEADY))
                outcomes[server.name].append(one)
        for name, rounds in outcomes.items():
            result[name] = {
                "median_ms": median(median(one.latencies_ms) for one in rounds),
                "slowest_ms": median(max(one.latencies_ms) for one in rounds),
                "ratio": median(max(one.latencies_ms) / median(one.latencies_ms) for one in rounds),
                "errors": sum(one.errors for one in rounds),
            }
    return {"requests": STEADY, "connections": STEADY_CONNECTIONS, "servers": result}
