"""The page's tables, each from the file of its part, with what the issue asks beside what it asks of."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.contenders import REFERENCE
from bench.folders import LOOP
from bench.report import Bar, Figures, Row, bars_table, losses, markdown, table

Part = Mapping[str, Any]


def machine(part: Part) -> str:
    """On what, when, and with which versions."""
    of = part["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in of["versions"].items())
    return "\n".join(
        [
            f"- {of['cpu']}, {of['cores']} cores ({', '.join(of['instructions'])}), {of['memory_gb']} GB",
            f"- {of['system']}, Python {of['python']}, {versions}",
            f"- commit {of['commit']}, {part['date'][:10]}; the machine's load as the run began: {of['load']}",
        ]
    )


def serving(part: Part) -> str:
    """All servers in all scenarios."""
    precisions = {name: told["precision"] for name, told in part["servers"].items() if "precision" in told}
    return table(_rows(part), precisions)


def contenders(part: Part) -> str:
    """Who was compared, how each serves, in which precision; and who was not, with the reason."""
    told = part["servers"].items()
    lines = [[name, of["about"], of.get("precision", f"not measured: {of.get('not measured')}")] for name, of in told]
    return markdown(["server", "how", "precision"], lines, words=3)


def asked(part: Part) -> str:
    """The issue's bars for serving."""
    return bars_table([Bar(**bar) for bar in part["bars"]], _rows(part))


def lost(part: Part) -> str:
    """Where somebody is ahead."""
    sentences = losses(_rows(part))
    return "- " + "\n- ".join(sentences) if sentences else "Nowhere, in this run."


def rows_at(part: Part, picture: str, connections: int) -> dict[str, float]:
    """Requests a second of each server in one scenario of ResNet-18's."""
    for row in _rows(part):
        if (row.model, row.picture, row.connections) == ("resnet18", picture, connections):
            return {name: of.requests_s for name, of in row.servers.items()}
    return {}


def curves(part: Part, x: str) -> str:
    """Requests/s, p50 and p99 of each series at each point."""
    series = part["curves"]
    head = [x, *(f"{name}: {figure}" for name in series for figure in ("requests/s", "p50 ms", "p99 ms"))]
    lines = []
    for place in sorted({one["x"] for points in series.values() for one in points}):
        cells = [f"{place:g}"]
        for points in series.values():
            one = next((one for one in points if one["x"] == place), None)
            cells += [f"{one[key]:.1f}" for key in ("requests_s", "p50_ms", "p99_ms")] if one else ["", "", ""]
        lines.append(cells)
    return markdown(head, lines, words=0)


def workers(part: Part) -> str:
    """Processes: speed and memory."""
    first = next(iter(part["curves"].values()))[0]["requests_s"]
    lines = []
    for name, (of,) in part["curves"].items():
        rate, waits = of["requests_s"], (f"{of[key]:.1f}" for key in ("p50_ms", "p99_ms"))
        lines.append([name, f"{rate:.1f}", f"{rate / first:.2f}", *waits, f"{part['memory'][name]:.0f}"])
    return markdown(["processes", "requests/s", "ratio", "p50 ms", "p99 ms", "MB"], lines)


def memory(part: Part) -> str:
    """MB with 20 modes, and for each one more, by the first and the last count."""
    lines = []
    for name, points in part["servers"].items():
        first, last = points[0], points[-1]
        each = (last["mb"] - first["mb"]) / (last["x"] - first["x"])
        lines += [
            _asked(f"{name}: MB with {first['x']} modes", first["mb"], 500, "{:.0f}"),
            _asked(f"{name}: MB for each further mode", each, 1, "{:.2f}"),
        ]
    return _figures(lines)


def at_once(part: Part) -> str:
    """Five modes over one."""
    return _figures(
        [
            _asked(f"{name}: five modes over one", of["five_ms"] / of["one_ms"], 1.1, "{:.3f} ×")
            for name, of in part["modes"].items()
        ]
    )


def starts(part: Part) -> str:
    """Seconds to ready."""
    lines = []
    for name, seconds in part["ready_s"].items():
        line = _asked(f"{name}: seconds to ready", seconds, 5, "{:.1f}")
        lines.append(line if name != REFERENCE else [*line[:2], "", ""])
    return _figures(lines)


def livez(part: Part) -> str:
    """/livez while pictures are posted."""
    lines = [
        [name, f"{of['p50_ms']:.1f}", f"{of['p99_ms']:.1f}", str(of["answers"]), str(of["errors"])]
        for name, of in part["servers"].items()
    ]
    return markdown(["server", "p50 ms", "p99 ms", "answers", "failed"], lines)


def steadiness(part: Part) -> str:
    """The slowest request over the median one."""
    lines = [
        [name, f"{of['median_ms']:.0f}", f"{of['slowest_ms']:.0f}", f"{of['ratio']:.2f}", str(of["errors"])]
        for name, of in part["servers"].items()
    ]
    return markdown(["server", "median ms", "slowest ms", "ratio", "failed"], lines)


def stages(part: Part) -> str:
    """Where a request's time goes, as Wanwu's own answers say."""
    names = ("decode", "queue", "infer", "total")
    lines = [
        [name, picture, *(f"{of[stage]:.1f}" for stage in names)]
        for name, pictures in part["servers"].items()
        for picture, of in pictures.items()
    ]
    return markdown(["server", "picture", *(f"{stage} ms" for stage in names)], lines, words=2)


def classify(part: Part) -> str:
    """Ways to classify a folder, over the plain loop."""
    loop = part["kinds"][LOOP]
    lines = []
    for name, of in part["kinds"].items():
        ratio = of["pictures_s"] / loop["pictures_s"]
        reached = "" if "int8" not in name else "≥ 2.5 ×: " + ("yes" if ratio >= 2.5 else "**no**")
        lines.append([name, f"{of['pictures_s']:.1f}", f"{ratio:.2f} ×", reached, f"{of['start_s']:.1f}"])
        lines[-1] += [f"{of['whole_s']:.1f}", f"{loop['whole_s'] / of['whole_s']:.2f} ×"]
    head = ["way", "pictures/s", "ratio", "asked", "start s", f"all {part['pictures']} s", "ratio"]
    return markdown(head, lines)


def _asked(name: str, value: float, limit: float, form: str) -> list[str]:
    return [name, form.format(value), f"≤ {limit:g}", "yes" if value <= limit else "**no**"]


def _figures(lines: Sequence[Sequence[str]]) -> str:
    return markdown(["figure", "measured", "asked", "reached"], lines)


def _rows(part: Part) -> list[Row]:
    return [
        Row(**{**row, "servers": {name: Figures(**of) for name, of in row["servers"].items()}}) for row in part["rows"]
    ]
