"""From what was measured to tables and honest sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.contenders import REFERENCE, WANWU
from bench.load import Outcome

COLUMNS = {"requests_s": "requests/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}


@dataclass(frozen=True, slots=True)
class Figures:
    """One server in one scenario: medians of the rounds, but p99 of all answers together, which needs many."""

    requests: int
    errors: int
    requests_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario, in which each server has its figures. More requests a second are better; fewer ms are."""

    model: str
    picture: str
    connections: int
    servers: Mapping[str, Figures]

    def ratio(self, figure: str, server: str, to: str = REFERENCE) -> float:
        """One server's figure over another's."""
        ours, theirs = (float(getattr(self.servers[name], figure)) for name in (server, to))
        return ours / theirs if theirs else float("nan")

    @property
    def where(self) -> str:
        """The scenario in words."""
        return f"{self.model}, {self.picture}, {self.connections} connection{'s' if self.connections > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked of a server of Wanwu's: requests/s at 8 connections, and p50 at 1, over the reference's."""

    picture: str
    server: str
    requests_s: float
    p50_ms: float


def figures(rounds: Sequence[Outcome]) -> Figures:
    """A server's rounds in one scenario, taken together."""
    everything = [latency for one in rounds for latency in one.latencies_ms]
    answered = [one for one in rounds if one.latencies_ms]
    return Figures(
        requests=len(everything),
        errors=sum(one.errors for one in rounds),
        requests_s=float(np.median([len(one.latencies_ms) / one.seconds for one in rounds])),
        p50_ms=float(np.median([np.median(one.latencies_ms) for one in answered])) if answered else float("nan"),
        p99_ms=float(np.percentile(everything, 99)) if everything else float("nan"),
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table, of which the first `words` columns are words and the others figures."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def table(rows: Sequence[Row], precisions: Mapping[str, str]) -> str:
    """A server in a scenario a line; each figure, and the same over the reference's."""
    head = ["base model", "picture", "connections", "server", "precision"]
    head += [cell for name in COLUMNS.values() for cell in (name, "ratio")]
    lines = [
        [row.model, row.picture, str(row.connections), server, precisions.get(server, "float32"), *_cells(row, server)]
        for row in rows
        for server in row.servers
    ]
    return markdown(head, lines, words=5)


def _cells(row: Row, server: str) -> list[str]:
    cells = []
    for figure in COLUMNS:
        cells += [f"{getattr(row.servers[server], figure):.1f}", f"**{row.ratio(figure, server):.2f}**"]
    return cells


def bars_table(bars: Sequence[Bar], rows: Sequence[Row]) -> str:
    """Each bar beside what was measured; nothing where the scenario was not."""
    head = ["picture", "server", "requests/s at 8", "asked", "reached", "p50 at 1", "asked", "reached"]
    lines = []
    for bar in bars:
        found = {row.connections: row for row in rows if row.picture == bar.picture and bar.server in row.servers}
        if {1, 8} <= found.keys():
            rate, wait = found[8].ratio("requests_s", bar.server), found[1].ratio("p50_ms", bar.server)
            more = [f"{rate:.2f} ×", f"≥ {bar.requests_s:g} ×", "yes" if rate >= bar.requests_s else "**no**"]
            less = [f"{wait:.2f} ×", f"≤ {bar.p50_ms:g} ×", "yes" if wait <= bar.p50_ms else "**no**"]
            lines.append([bar.picture, bar.server, *more, *less])
    return markdown(head, lines, words=2)


def losses(rows: Sequence[Row]) -> list[str]:
    """A sentence for each server that Wanwu is behind in a scenario, with the figures; and for requests that failed."""
    sentences = []
    for row in rows:
        for ours in (name for name in row.servers if name.startswith(WANWU)):
            for theirs in (name for name in row.servers if not name.startswith(WANWU)):
                if behind := _behind(row, ours, theirs):
                    sentences.append(f"{row.where}: {ours} is behind {theirs}: {', '.join(behind)}")
        for name, of in row.servers.items():
            if of.errors:
                sentences.append(f"{row.where}: {of.errors} requests to {name} failed")
    return sentences


def _behind(row: Row, ours: str, theirs: str) -> list[str]:
    if not row.servers[theirs].requests:
        return []
    ratios = {figure: row.ratio(figure, ours, theirs) for figure in COLUMNS}
    worse = {figure: ratio < 1 if figure == "requests_s" else ratio > 1 for figure, ratio in ratios.items()}
    return [f"{COLUMNS[figure].removesuffix(' ms')} {ratios[figure]:.2f} ×" for figure in COLUMNS if worse[figure]]
