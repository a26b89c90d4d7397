"""From what was measured to a table, an honest summary and a file."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.load import Outcome
from bench.servers import ROOT

SERVERS = ("reference", "wanwu")


@dataclass(frozen=True)
class Figures:
    """One server in one scenario, all rounds together."""

    requests: int
    errors: int
    requests_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Row:
    """One scenario: both servers, and Wanwu over the reference. More requests a second are better; fewer ms are."""

    model: str
    picture: str
    connections: int
    reference: Figures
    wanwu: Figures

    def ratio(self, name: str) -> float:
        """Wanwu / reference of the figure `name`."""
        reference: float = getattr(self.reference, name)
        wanwu: float = getattr(self.wanwu, name)
        return wanwu / reference if reference else float("nan")


def figures(rounds: list[Outcome]) -> Figures:
    """Pool the rounds of one server."""
    latencies = np.array([latency for one in rounds for latency in one.latencies_ms])
    p50, p99 = np.percentile(latencies, [50, 99]).tolist() if latencies.size else (float("nan"),) * 2
    seconds = sum(one.seconds for one in rounds)
    return Figures(latencies.size, sum(one.errors for one in rounds), latencies.size / seconds, p50, p99)


def table(rows: list[Row]) -> str:
    """Markdown: a scenario a line."""
    lines = [
        "| base model | picture | connections | requests/s: reference | Wanwu | ratio "
        "| p50 ms: reference | Wanwu | ratio | p99 ms: reference | Wanwu | ratio |",
        "| --- | --- |" + " ---: |" * 10,
    ]
    for row in rows:
        cells = [row.model, row.picture, str(row.connections)]
        for name in ("requests_s", "p50_ms", "p99_ms"):
            values = getattr(row.reference, name), getattr(row.wanwu, name)
            cells += [*(f"{value:.1f}" for value in values), f"**{row.ratio(name):.2f}**"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def losses(rows: list[Row]) -> list[str]:
    """A sentence for each figure in which Wanwu is worse than the reference, and for requests that failed."""
    sentences = []
    for row in rows:
        where = f"{row.model}, {row.picture}, {row.connections} connection{'s' if row.connections > 1 else ''}"
        if row.ratio("requests_s") < 1:
            sentences.append(f"{where}: {row.ratio('requests_s'):.2f} times the reference's requests/s")
        for name in ("p50_ms", "p99_ms"):
            if row.ratio(name) > 1:
                sentences.append(f"{where}: {row.ratio(name):.2f} times the reference's {name.removesuffix('_ms')}")
        for server in SERVERS:
            if failed := getattr(row, server).errors:
                sentences.append(f"{where}: {failed} requests to {server} failed")
    return sentences


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, check=False)
    return {
        "cpu": processors[0].partition(":")[2].strip() if processors else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "commit": git.stdout.decode().strip(),
    }


def save(rows: list[Row], options: dict[str, Any], name: str, folder: Path) -> Path:
    """Write `<date>-<name>.json` into `folder`."""
    now = datetime.now(UTC)
    path = folder / f"{now:%Y-%m-%dT%H%M%SZ}-{name}.json"
    folder.mkdir(exist_ok=True)
    content = {"date": now.isoformat(), "machine": machine(), "options": options, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
