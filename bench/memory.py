"""The memory of a server: all processes of its group together, as the kernel counts it; and what each mode adds."""

import json
import os
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench import pictures
from bench.contenders import wanwu
from bench.heads import write_heads
from bench.rounds import Setting, load
from bench.servers import BenchError, Server, running

COUNTS = (20, 40, 60, 80, 100)
FOLLOW_LIMIT_S = 60


def memory(setting: Setting) -> dict[str, Any]:
    """MB with 20 modes after some load, and as more modes are written that the same server takes up."""
    picture = setting.folder / "small.jpg"
    pictures.small(picture)
    servers = {}
    for precision in ("float32", "int8"):
        contender = wanwu(precision)
        models = setting.folder / f"models-{precision}"
        write_heads(models, range(COUNTS[0]), setting.weights)
        with running(contender, setting.weights, setting.folder, {"MODELS_DIR": str(models)}) as server:
            load(server.port, picture, 8, setting.seconds)
            points = []
            for before, count in zip((COUNTS[0], *COUNTS), COUNTS, strict=False):
                write_heads(models, range(before, count), setting.weights)
                _wait_for(server, count)
                points.append({"x": count, "mb": resident_mb(server.process.pid)})
            servers[contender.name] = points
    return {"servers": servers}


def resident_mb(group: int) -> float:
    """What the processes hold together; pages that they share count once (the kernel's Pss)."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            if os.getpgid(int(folder.name)) == group:
                lines = (line.partition(":") for line in (folder / "smaps_rollup").read_text().splitlines())
                total += int({name: value for name, _, value in lines}["Pss"].split()[0])
    return total * 1024 / 1e6


def _wait_for(server: Server, modes: int) -> None:
    """Until the server has taken up so many modes, beside its own."""
    deadline = time.monotonic() + FOLLOW_LIMIT_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=10) as answer:
            if len(json.load(answer)["modes"]) > modes:
                return
        time.sleep(0.2)
    raise BenchError(f"{server.name} did not take up {modes} modes within {FOLLOW_LIMIT_S} seconds.")
