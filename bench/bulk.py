"""Many photos in one go, alone and on a cluster: `python -m bench.bulk`, in turn, both on all cores of this machine."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from app.config import available_cores
from bench import pictures
from bench.clusters import cluster
from bench.results import machine
from bench.servers import resnet18_weights

ROUNDS = 3


def seconds(photos: Path, out: Path, more: list[str], settings: dict[str, str]) -> float:
    """How long `classify` takes, its own start included."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "app", "classify", str(photos), "-o", str(out), *more]
    subprocess.run(command, env={**os.environ, **settings}, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians and their ratio, and write them into `bench/results/bulk.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3000)
    count = parser.parse_args().photos
    cores = available_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("photos", "models"):
            (folder / part).mkdir()
        pictures.small(folder / "small.jpg")
        for number in range(count):
            os.link(folder / "small.jpg", folder / "photos" / f"{number}.jpg")
        settings = {"MODELS_DIR": str(folder / "models"), "RESNET18_WEIGHTS": str(resnet18_weights() or "")}
        taken: dict[str, list[float]] = {"alone": [], "cluster": []}
        with cluster(cores, **settings) as started:
            for turn in range(ROUNDS):
                taken["alone"].append(seconds(folder / "photos", folder / f"{turn}.jsonl", [], settings))
                spread = ["--ray", started.address, "--format", "jsonl"]
                taken["cluster"].append(seconds(folder / "photos", folder / f"{turn}", spread, settings))
    found = {way: round(median(times), 1) for way, times in taken.items()}
    print(f"{count} small photos, {cores} cores, medians of {ROUNDS}, start included:")
    for way, median_s in found.items():
        print(f"{way:>8}: {median_s:.1f} s, {count / median_s:.0f} a second")
    print(f"cluster / alone: {found['alone'] / found['cluster']:.2f} x")
    Path("bench/results/bulk.json").write_text(json.dumps({"machine": machine(), "photos": count, **found}, indent=1))


if __name__ == "__main__":
    main()
