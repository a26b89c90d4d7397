"""Compare Wanwu with the plain reference: `make bench`, `python -m app bench`, or `python -m bench.run --help`.

Both servers are up at once and are loaded in turn, round by round, so that the machine's drift falls on both alike.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from bench import pictures, report, servers
from bench.load import Outcome, encode

MAKERS = {"small 0.2 MP": pictures.small, "phone 12 MP": pictures.large}
CONNECTIONS = (1, 8)


def main() -> None:
    """Measure, print the table, say where Wanwu loses, and write the file."""
    options = _options()
    seconds, rounds = (2.0, 1) if options.quick else (options.seconds, options.rounds)
    weights = _resnet18_weights()
    bases = {"efficientnet_lite0": None} if weights is None else {"resnet18": weights, "efficientnet_lite0": None}
    if weights is None:
        print("No ResNet-18 weights here (RESNET18_WEIGHTS): only EfficientNet-Lite0 is measured.", flush=True)
    with tempfile.TemporaryDirectory(prefix="wanwu-bench-") as folder:
        rows = [row for model, path in bases.items() for row in _measure(model, path, seconds, rounds, Path(folder))]
    print(f"\n{report.table(rows)}\n")
    worse = report.losses(rows)
    print("Where Wanwu loses:\n- " + "\n- ".join(worse) if worse else "Wanwu loses nowhere in this run.")
    print(report.save(rows, {"seconds": seconds, "rounds": rounds}, options.name, options.results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="a round's length for one server (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server in each scenario (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds: only a look")
    parser.add_argument("--name", default="serving", help="the end of the result file's name")
    parser.add_argument("--results", type=Path, default=servers.ROOT / "bench" / "results", help="the file's folder")
    return parser.parse_args()


def _resnet18_weights() -> Path | None:
    """Where ResNet-18's weights lie, or None."""
    named = os.environ.get("RESNET18_WEIGHTS")
    candidates = [Path(named)] if named else [servers.ROOT / "models" / "resnet18-f37072fd.pth"]
    return next((path.resolve() for path in candidates if path.is_file()), None)


def _measure(model: str, weights: Path | None, seconds: float, rounds: int, folder: Path) -> list[report.Row]:
    rows = []
    with servers.reference(weights, folder) as reference_port, servers.wanwu(weights, folder) as wanwu_port:
        ports = {"reference": reference_port, "wanwu": wanwu_port}
        for label, make in MAKERS.items():
            picture = folder / f"{make.__name__}.jpg"
            make(picture)
            _check_that_they_agree(ports, picture)
            for connections in CONNECTIONS:
                print(f"{model}, {label}, {connections} …", file=sys.stderr, flush=True)
                outcomes: dict[str, list[Outcome]] = {name: [] for name in report.SERVERS}
                for _ in range(rounds):
                    for name in report.SERVERS:
                        outcomes[name].append(_load(ports[name], picture, connections, seconds))
                figures = {name: report.figures(outcomes[name]) for name in report.SERVERS}
                rows.append(report.Row(model, label, connections, **figures))
    return rows


def _load(port: int, picture: Path, connections: int, seconds: float) -> Outcome:
    """One round, in a process of its own."""
    command = [sys.executable, "-m", "bench.load", str(port), str(picture)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=servers.ROOT, stdout=subprocess.PIPE, check=True)
    return Outcome(**json.loads(done.stdout))


def _check_that_they_agree(ports: dict[str, int], picture: Path) -> None:
    """Refuse to compare servers that see different things: a quick wrong answer is no gain."""
    head, _, body = encode(picture.read_bytes()).partition(b"\r\n\r\n")
    content_type = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Type: "))
    headers = {"Content-Type": content_type.partition(b": ")[2].decode()}
    seen = {}
    for name, port in ports.items():
        query = urllib.request.Request(f"http://127.0.0.1:{port}/predict", data=body, headers=headers)
        with urllib.request.urlopen(query, timeout=60) as answer:
            seen[name] = json.load(answer)["results"][0]["top"][0]["index"]
    if len(set(seen.values())) > 1:
        raise servers.BenchError(f"The servers disagree on {picture.name}: {seen}")


if __name__ == "__main__":
    try:
        main()
    except servers.BenchError as error:
        raise SystemExit(str(error)) from None
