"""Write the figures of docs/PERFORMANCE.md and its plots from the newest results: `python -m bench.page`.

What stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced; the words around it are people's.
A part that was never measured here keeps what stands there.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from app.config import ROOT
from bench import plots, results, tables
from bench.plots import Plot

PAGE = ROOT / "docs" / "PERFORMANCE.md"

TABLES: Mapping[str, tuple[str, Callable[[tables.Part], str]]] = {
    "machine": ("serving", tables.machine),
    "contenders": ("serving", tables.contenders),
    "asked": ("serving", tables.asked),
    "serving": ("serving", tables.serving),
    "lost": ("serving", tables.lost),
    "connections": ("connections", partial(tables.curves, x="connections")),
    "sizes": ("sizes", partial(tables.curves, x="megapixels")),
    "batches": ("batches", partial(tables.curves, x="pictures in a request")),
    "modes": ("modes", partial(tables.curves, x="modes")),
    **{
        name: (name, getattr(tables, name))
        for name in ("memory", "workers", "at_once", "starts", "livez", "steadiness", "stages", "classify")
    },
}
"""What each marker is filled with: the result's name, and the function that makes a table of it."""

CURVES = {
    "connections-rate": ("connections", Plot("Requests a second", "connections", "requests_s")),
    "connections-wait": ("connections", Plot("Milliseconds, the middle request", "connections", "p50_ms")),
    "sizes": ("sizes", Plot("Milliseconds, the middle request", "megapixels", "p50_ms", logarithmic=False)),
    "batches": ("batches", Plot("Milliseconds a request", "pictures in a request", "p50_ms")),
    "modes": ("modes", Plot("Requests a second", "modes served", "requests_s")),
}
BARS = {"serving-small": ("small 0.2 MP", 8), "serving-phone": ("phone 12 MP", 8)}


def main() -> None:
    """Replace what is between the markers, and write the plots beside the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="the folder of the results")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    parts = _parts(options.results)
    text = options.page.read_text(encoding="utf-8")
    for marker, (part, write) in TABLES.items():
        if part in parts:
            text = replaced(text, marker, write(parts[part]))
    options.page.write_text(text, encoding="utf-8")
    folder = options.page.parent / "performance"
    folder.mkdir(exist_ok=True)
    for name, svg in _drawn(parts).items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    missing = {part for part, _ in TABLES.values()} - parts.keys()
    print(f"Written from: {', '.join(sorted(parts))}. Not measured: {', '.join(sorted(missing)) or 'nothing'}.")


def replaced(text: str, marker: str, content: str) -> str:
    """The page with other content at the marker.

    Raises:
        ValueError: the marker does not stand there exactly once.
    """
    pattern = rf"(<!-- begin {re.escape(marker)} -->\n).*?(<!-- end {re.escape(marker)} -->)"
    new, count = re.subn(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the marker '{marker}' stands {count} times in the page")
    return new


def _parts(folder: Path) -> dict[str, dict[str, Any]]:
    parts = {}
    for name in {part for part, _ in TABLES.values()}:
        try:
            parts[name] = results.newest(name, folder)
        except FileNotFoundError:
            continue
    return parts


def _drawn(parts: Mapping[str, tables.Part]) -> dict[str, str]:
    drawn = {name: plots.curves(plot, parts[part]["curves"]) for name, (part, plot) in CURVES.items() if part in parts}
    for name, (picture, connections) in BARS.items():
        if values := tables.rows_at(parts.get("serving", {"rows": []}), picture, connections):
            drawn[name] = plots.bars(f"Requests a second, {picture}, {connections} connections", values)
    return drawn


if __name__ == "__main__":
    main()
