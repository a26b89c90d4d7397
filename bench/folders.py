"""`python -m app classify` on a folder, against a plain loop: whole commands, with and without their start."""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench import pictures
from bench.rounds import Setting
from bench.servers import ROOT, BenchError

PICTURES = 200
LOOP = "plain loop"
KINDS = {LOOP: "float32", "Wanwu float32": "float32", "Wanwu int8": "int8"}
"""Each way to classify, and its precision."""


def classify(setting: Setting) -> dict[str, Any]:
    """The seconds of each way for the folder and for one picture, of which the latter is nearly all its start."""
    sizes = {PICTURES: setting.folder / "many", 1: setting.folder / "one"}
    for count, folder in sizes.items():
        folder.mkdir()
        pictures.many(folder, count)
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(setting.rounds):
        for count, folder in sizes.items():
            for kind in KINDS:
                taken.setdefault((kind, count), []).append(_seconds(kind, folder, count, setting))
    return {"pictures": PICTURES, "kinds": {kind: speed(taken[kind, PICTURES], taken[kind, 1]) for kind in KINDS}}


def speed(whole: list[float], start: list[float]) -> dict[str, float]:
    """Medians of the rounds, and pictures a second once started."""
    whole_s, start_s = median(whole), median(start)
    return {"whole_s": whole_s, "start_s": start_s, "pictures_s": (PICTURES - 1) / max(whole_s - start_s, 1e-9)}


def _seconds(kind: str, folder: Path, count: int, setting: Setting) -> float:
    """One command, from its start to its end."""
    output = setting.folder / "answers.csv"
    output.unlink(missing_ok=True)  # Wanwu would go on where it stopped
    (setting.folder / "empty").mkdir(exist_ok=True)
    environment = {"RESNET18_WEIGHTS": str(setting.weights), "MODELS_DIR": str(setting.folder / "empty")}
    command = ["-m", "app", "classify", str(folder), "--output", str(output)]
    if kind == LOOP:
        command = ["-m", "bench.plain_loop", str(folder), str(output)]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment, "PRECISION": KINDS[kind]},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    rows = len(output.read_text().splitlines()) - (kind != LOOP) if output.exists() else 0
    if done.returncode or rows != count:
        raise BenchError(f"{kind} answered {rows} of {count} pictures: {done.stderr[-500:]}")
    return seconds
