"""How Wanwu's cost grows, and its single figures: `python -m bench.growth`, or only some: `--only modes,classify`.

Each part is measured for itself and written to a file of its own in bench/results/, from which bench/page.py makes
docs/PERFORMANCE.md.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import folders, memory, moments, results, scaling
from bench.rounds import Setting
from bench.servers import BenchError, resnet18_weights

PARTS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "connections": scaling.connections,
    "sizes": scaling.sizes,
    "batches": scaling.batches,
    "modes": scaling.modes,
    "memory": memory.memory,
    "workers": scaling.workers,
    "at_once": moments.at_once,
    "starts": moments.starts,
    "stages": moments.stages,
    "livez": moments.livez,
    "steadiness": moments.steadiness,
    "classify": folders.classify,
}


def main() -> None:
    """Measure the parts that are asked for, one after the other, each with its file."""
    options = _options()
    weights = resnet18_weights()
    if weights is None:
        raise BenchError("This needs ResNet-18: `python -m app fetch-weights`, or name a file in RESNET18_WEIGHTS.")
    for name in options.only:
        print(f"{name} …", file=sys.stderr, flush=True)
        before = results.machine()
        with tempfile.TemporaryDirectory(prefix="wanwu-bench-") as folder:
            content = PARTS[name](Setting(weights, Path(folder), options.seconds, options.rounds))
        content["options"] = {"seconds": options.seconds, "rounds": options.rounds}
        print(results.save(name, options.results, content, before).name, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"some of: {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=3.0, help="a round's length for one point (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each point (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round of half a second: only a look")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="the files' folder")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 0.5, 1
    return options


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"there is no part called {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        raise SystemExit(str(error)) from None
