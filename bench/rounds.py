"""Rounds: one server loaded for some seconds, or several in several cases, all in turn."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.load import Outcome, encode
from bench.report import figures
from bench.servers import ROOT, Server


@dataclass(frozen=True, slots=True)
class Setting:
    """How to measure: with which weights, for how long and how often, and where files may be written."""

    weights: Path
    folder: Path
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve: whose curve, its place `x` there, and what is sent to which server.

    `more` are further options of `bench.load`.
    """

    series: str
    x: float
    server: Server
    picture: Path
    connections: int = 1
    more: tuple[str, ...] = ()


def ask(port: int, picture: Path) -> dict[str, Any]:
    """Post one picture, and return the answer."""
    head, _, body = encode([picture.read_bytes()]).partition(b"\r\n\r\n")
    content_type = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Type: "))
    headers = {"Content-Type": content_type.partition(b": ")[2].decode()}
    query = urllib.request.Request(f"http://127.0.0.1:{port}/predict", data=body, headers=headers)
    with urllib.request.urlopen(query, timeout=60) as answer:
        content: dict[str, Any] = json.load(answer)
    return content


def load(port: int, picture: Path, connections: int, seconds: float, *more: str) -> Outcome:
    """One round, in a process of its own."""
    command = [sys.executable, "-m", "bench.load", str(port), str(picture)]
    command += ["--connections", str(connections), "--seconds", str(seconds), *more]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Outcome(**json.loads(done.stdout))


def sweep(points: Sequence[Point], setting: Setting) -> dict[str, list[dict[str, Any]]]:
    """The figures of each series, in its points' order: all points in one round, then the next round.

    The servers are expected to rest, and rest afterwards.
    """
    outcomes: list[list[Outcome]] = [[] for _ in points]
    for number in range(setting.rounds):
        for index, point in enumerate(points):
            print(f"round {number + 1}: {point.series}, {point.x:g} …", file=sys.stderr, flush=True)
            with point.server.awake():
                one = load(point.server.port, point.picture, point.connections, setting.seconds, *point.more)
            outcomes[index].append(one)
    curves: dict[str, list[dict[str, Any]]] = {}
    for point, rounds in zip(points, outcomes, strict=True):
        curves.setdefault(point.series, []).append({"x": point.x, **asdict(figures(rounds))})
    return curves
