"""What recognition costs while a mode is taught beside it: `python -m bench.teaching`.

One server, one training job, started as the server starts it. Rounds with the job at work and with the job halted take
turns, so that whatever else the machine does falls on both. Each recipe teaches from the same photos: `head` reads
features for as long as is measured, `full` learns with gradients.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from app.registry import jobs
from bench import pictures, results
from bench.contenders import wanwu
from bench.rounds import load
from bench.servers import BenchError, Server, resnet18_weights, running

RECIPES = ("head", "full")
PHOTOS = 150
"""Of each of two classes: with 64 views of each, more than any measurement here waits for."""
CONNECTIONS = 8
WORKING_LIMIT_S = 900


def main() -> None:
    """Measure each recipe, and write one file."""
    options = _options()
    before = results.machine()
    content: dict[str, Any] = {"options": {"seconds": options.seconds, "rounds": options.rounds}}
    with tempfile.TemporaryDirectory(prefix="wanwu-bench-") as name:
        folder = Path(name)
        _draw(folder / "photos")
        pictures.small(folder / "small.jpg")
        weights = resnet18_weights()
        with running(wanwu("float32"), weights, folder) as server:
            for recipe in options.only:
                with teaching(recipe, folder, weights) as group:
                    content[recipe] = beside(server, group, folder / "small.jpg", options)
                print(f"{recipe}: {_sentence(content[recipe])}", flush=True)
    print(results.save("teaching", options.results, content, before).name, flush=True)


def _draw(folder: Path) -> None:
    """Two classes of photos, no two alike."""
    for label in ("one", "two"):
        (folder / label).mkdir(parents=True)
    pictures.many(folder, 2 * PHOTOS)
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        path.rename(folder / ("one", "two")[number % 2] / path.name)


def beside(server: Server, group: int, picture: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Medians with the job `group` at work and halted, in turn, and their ratios."""
    alone: dict[str, list[float]] = {"latency_ms": [], "per_second": []}
    taught: dict[str, list[float]] = {"latency_ms": [], "per_second": []}
    for number in range(options.rounds):
        for sign, seen in ((signal.SIGSTOP, alone), (signal.SIGCONT, taught)):
            print(f"round {number + 1}: {'halted' if seen is alone else 'at work'} …", file=sys.stderr, flush=True)
            os.killpg(group, sign)
            one = load(server.port, picture, 1, options.seconds)
            seen["latency_ms"].append(median(one.latencies_ms))
            many = load(server.port, picture, CONNECTIONS, options.seconds)
            seen["per_second"].append(len(many.latencies_ms) / many.seconds)
    figures = {name: {kind: median(values) for kind, values in seen.items()} for name, seen in
               (("alone", alone), ("taught", taught))}  # fmt: skip
    ratios = {kind: figures["taught"][kind] / figures["alone"][kind] for kind in alone}
    return {**figures, "ratio": ratios, "rounds": {"alone": alone, "taught": taught}}


@contextmanager
def teaching(recipe: str, folder: Path, weights: Path | None) -> Iterator[int]:
    """A job that learns from the drawn photos, once it is at the part that lasts: its process group."""
    os.environ |= {"MODELS_DIR": str(folder / "empty"), "RESNET18_WEIGHTS": str(weights or "")}
    lasting = ["--views", "64"] if recipe == "head" else ["--views", "1", "--epochs", "40", "--no-early-stopping"]
    command = ["train", str(folder / "photos"), "--mode", "taught", "--recipe", recipe, "--json", "--events", *lasting]
    job = jobs.start(folder / "empty", "train", "taught", command)
    try:
        _wait_for(folder / "empty", job, "train: features" if recipe == "head" else "all: epochs")
        yield int((folder / "empty" / ".jobs" / job.id / "process").read_text())
    finally:
        jobs.cancel(folder / "empty", job)


def _wait_for(models: Path, job: jobs.Job, part: str) -> None:
    log = jobs.log_of(models, job)
    deadline = time.monotonic() + WORKING_LIMIT_S
    while not log.exists() or part not in log.read_text(encoding="utf-8"):
        if time.monotonic() > deadline or jobs.state_of(models, job) != "running":
            raise BenchError(f"The training never came to '{part}': {log.read_text(encoding='utf-8')[-500:]}")
        time.sleep(0.2)


def _sentence(found: dict[str, Any]) -> str:
    alone, taught, ratio = found["alone"], found["taught"], found["ratio"]
    return (
        f"a lone picture {alone['latency_ms']:.1f} ms, beside the training {taught['latency_ms']:.1f} ms "
        f"({ratio['latency_ms']:.2f} times); {CONNECTIONS} connections {alone['per_second']:.1f} a second, "
        f"beside it {taught['per_second']:.1f} ({ratio['per_second']:.2f} times)"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RECIPES, nargs="*", default=list(RECIPES), help="which recipes")
    parser.add_argument("--seconds", type=float, default=5.0, help="a round's length for one figure (default 5)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds with and without the job (default 7)")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="the file's folder")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        raise SystemExit(str(error)) from None
