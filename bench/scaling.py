"""How Wanwu's cost grows: with connections, the pictures' size, pictures a request, modes, and worker processes."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import pictures
from bench.contenders import PLAIN, Contender, wanwu
from bench.heads import mode_key, write_heads
from bench.memory import resident_mb
from bench.rounds import Point, Setting, sweep
from bench.servers import Server, running

WANWUS = (wanwu("float32"), wanwu("int8"))
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
MEGAPIXELS = (0.1, 0.5, 2, 6, 12, 24)
COPIES = (1, 2, 4, 8, 16, 32, 64)
MODES = (1, 5, 20, 50, 100)
WORKERS = {
    "1 worker": (1, {}),
    "2 workers": (2, {}),
    "2 workers of 1 thread": (2, {"TORCH_THREADS": "1"}),
    "4 workers of 1 thread": (4, {"TORCH_THREADS": "1"}),
}
"""WEB_CONCURRENCY, and what else is set; by itself torch takes a thread a core in each worker."""
SETTLE_S = 5
"""A server says that it is ready when its first worker is; the others follow."""


def connections(setting: Setting) -> dict[str, Any]:
    """Callers at once, small pictures."""
    picture = _small(setting)
    with ExitStack() as stack:
        up = _resting(WANWUS, setting, stack)
        points = [Point(one.name, count, one, picture, count) for count in CONNECTIONS for one in up]
        return {"curves": sweep(points, setting)}


def sizes(setting: Setting) -> dict[str, Any]:
    """Megapixels of a picture, one caller; the reference too."""
    files = {megapixels: setting.folder / f"{megapixels}.jpg" for megapixels in MEGAPIXELS}
    for megapixels, path in files.items():
        pictures.of_size(path, megapixels)
    with ExitStack() as stack:
        up = _resting((PLAIN, *WANWUS), setting, stack)
        points = [Point(one.name, megapixels, one, path) for megapixels, path in files.items() for one in up]
        file_mb = {str(megapixels): path.stat().st_size / 1e6 for megapixels, path in files.items()}
        return {"curves": sweep(points, setting), "file_mb": file_mb}


def batches(setting: Setting) -> dict[str, Any]:
    """Small pictures in a request, one caller."""
    picture = _small(setting)
    with ExitStack() as stack:
        up = _resting(WANWUS, setting, stack)
        points = [
            Point(one.name, copies, one, picture, more=("--copies", str(copies))) for copies in COPIES for one in up
        ]
        return {"curves": sweep(points, setting)}


def modes(setting: Setting) -> dict[str, Any]:
    """Custom modes served, the last of them asked, small pictures, 8 callers."""
    picture = _small(setting)
    curves: dict[str, Any] = {}
    for contender in WANWUS:
        with ExitStack() as stack:
            points = []
            for count in MODES:
                models = setting.folder / f"models-{contender.name}-{count}"
                write_heads(models, range(count), setting.weights)
                (server,) = _resting([contender], setting, stack, {"MODELS_DIR": str(models)})
                path = ("--path", f"/predict?mode={mode_key(count - 1)}")
                points.append(Point(contender.name, count, server, picture, 8, path))
            curves |= sweep(points, setting)
    return {"curves": curves}


def workers(setting: Setting) -> dict[str, Any]:
    """Worker processes, small pictures, 8 callers; and the memory of all of them."""
    picture = _small(setting)
    with ExitStack() as stack:
        points = []
        for name, (count, more) in WORKERS.items():
            settings = {"WEB_CONCURRENCY": str(count), **more}
            (server,) = _resting(WANWUS[:1], setting, stack, settings, settle_s=SETTLE_S if count > 1 else 0)
            points.append(Point(name, count, server, picture, 8))
        curves = sweep(points, setting)
        memory = {one.series: resident_mb(one.server.process.pid) for one in points}
    return {"curves": curves, "memory": memory}


def _small(setting: Setting) -> Path:
    picture = setting.folder / "small.jpg"
    pictures.small(picture)
    return picture


def _resting(
    contenders: Sequence[Contender],
    setting: Setting,
    stack: ExitStack,
    settings: Mapping[str, str] | None = None,
    settle_s: float = 0,
) -> list[Server]:
    """The servers, up and halted until their turn."""
    up = []
    for contender in contenders:
        server = stack.enter_context(running(contender, setting.weights, setting.folder, settings))
        time.sleep(settle_s)
        server.rest()
        up.append(server)
    return up
