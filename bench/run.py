"""Compare Wanwu with the plain reference and its rivals: `make bench`, `python -m app bench`, or this with `--help`.

All servers are up at once and are loaded in turn, round by round, so that the machine's drift falls on all alike; those
whose turn it is not are halted.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import pictures, report, results
from bench.contenders import EVERYBODY, INSTALL, REFERENCE, WITHOUT_RESNET18, Contender
from bench.load import Outcome
from bench.rounds import ask, load
from bench.servers import BenchError, Server, resnet18_weights, running

SMALL, PHONE = "small 0.2 MP", "phone 12 MP"
MAKERS = {SMALL: pictures.small, PHONE: pictures.large}
CONNECTIONS = (1, 8)
BARS = (
    report.Bar(SMALL, "Wanwu float32", 1.6, 0.7),
    report.Bar(SMALL, "Wanwu int8", 4.5, 0.3),
    report.Bar(PHONE, "Wanwu float32", 3, 0.4),
    report.Bar(PHONE, "Wanwu int8", 5, 0.3),
)
"""What ResNet-18 is to reach."""


def main() -> None:
    """Measure, print the tables, say where Wanwu loses, and write the file."""
    options = _options()
    before = results.machine()
    weights = resnet18_weights()
    bases: list[tuple[str, Path | None, Sequence[Contender]]]
    bases = [] if weights is None else [("resnet18", weights, EVERYBODY)]
    if weights is None:
        print("No ResNet-18 weights here (RESNET18_WEIGHTS): only EfficientNet-Lite0 is measured.", flush=True)
    if weights is None or options.lite0:
        bases.append(("efficientnet_lite0", None, WITHOUT_RESNET18))
    rows: list[report.Row] = []
    servers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="wanwu-bench-") as folder:
        for model, path, contenders in bases:
            measured = Comparison(model, contenders, options.seconds, options.rounds, Path(folder))
            rows += measured.run(path)
            servers = measured.servers | servers  # ResNet-18's, where both were measured
    _print(rows, servers)
    content = {
        "options": {"seconds": options.seconds, "rounds": options.rounds},
        "servers": servers,
        "bars": [asdict(bar) for bar in BARS],
        "rows": [asdict(row) for row in rows],
    }
    print(results.save(options.name, options.results, content, before).name)


class Comparison:
    """One base model in all scenarios. `servers`: what is to be said of each contender, measured or not."""

    def __init__(self, model: str, contenders: Sequence[Contender], seconds: float, rounds: int, folder: Path) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self._model = model
        self._contenders = contenders
        self._seconds = seconds
        self._rounds = rounds
        self._folder = folder

    def run(self, weights: Path | None) -> list[report.Row]:
        """Start everybody, and measure everything."""
        rows = []
        with ExitStack() as stack:
            up = [server for one in self._contenders if (server := self._start(one, weights, stack))]
            for label, make in MAKERS.items():
                picture = self._folder / f"{make.__name__}.jpg"
                make(picture)
                _check_that_they_agree(up, picture)
                rows += [self._scenario(up, label, picture, connections) for connections in CONNECTIONS]
        return rows

    def _start(self, contender: Contender, weights: Path | None, stack: ExitStack) -> Server | None:
        """The contender's server, halted until its turn; a rival that is not to be had is noted, and left out."""
        told = self.servers[contender.name] = {"about": contender.about}
        if missing := contender.missing():
            told["not measured"] = f"{', '.join(missing)} is not installed: {INSTALL}"
            return None
        print(f"{self._model}: starting {contender.name} …", file=sys.stderr, flush=True)
        try:
            server = stack.enter_context(running(contender, weights, self._folder))
        except BenchError as error:
            if not contender.modules:
                raise
            told["not measured"] = str(error)
            return None
        server.rest()
        told.update(precision=server.precision, ready_s=round(server.ready_s, 2))
        return server

    def _scenario(self, up: Sequence[Server], label: str, picture: Path, connections: int) -> report.Row:
        print(f"{self._model}, {label}, {connections} …", file=sys.stderr, flush=True)
        outcomes: dict[str, list[Outcome]] = {server.name: [] for server in up}
        for number in range(self._rounds):
            for server in up if number % 2 == 0 else reversed(up):  # nobody is always the first after a pause
                with server.awake():
                    outcomes[server.name].append(load(server.port, picture, connections, self._seconds))
        figures = {name: report.figures(rounds) for name, rounds in outcomes.items()}
        return report.Row(self._model, label, connections, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="a round's length for one server (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server in each scenario (default 5)")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds: only a look")
    parser.add_argument("--lite0", action="store_true", help="EfficientNet-Lite0 too, against the reference only")
    parser.add_argument("--name", default="serving", help="the end of the result file's name")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="the file's folder")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 2.0, 1
    return options


def _check_that_they_agree(servers: Sequence[Server], picture: Path) -> None:
    """Refuse to compare servers that see different things: a quick wrong answer is no gain.

    A lower precision than float32 may take the reference's second or third for its first.
    """
    expected: list[int] = []
    for server in servers:
        with server.awake():
            seen = [one["index"] for one in ask(server.port, picture)["results"][0]["top"]]
        expected = seen if server.name == REFERENCE else expected
        if seen[0] not in expected[: 1 if server.precision == "float32" else 3]:
            raise BenchError(f"{server.name} and the {REFERENCE} disagree on {picture.name}: {seen} and {expected}")


def _print(rows: Sequence[report.Row], servers: dict[str, dict[str, Any]]) -> None:
    precisions = {name: told["precision"] for name, told in servers.items() if "precision" in told}
    print(f"\n{report.table(rows, precisions)}\n")
    print(f"What ResNet-18 is to reach, over the {REFERENCE}:\n\n{report.bars_table(BARS, rows)}\n")
    for name, told in servers.items():
        if "not measured" in told:
            print(f"{name} was not measured: {told['not measured']}")
    worse = report.losses(rows)
    print("Where Wanwu loses:\n- " + "\n- ".join(worse) if worse else "Wanwu loses nowhere in this run.")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        raise SystemExit(str(error)) from None
