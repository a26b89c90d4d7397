"""The page's plots: the charts of a teaching report, as files that stand alone and follow the reader's theme."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.training.charts import HEIGHT, WIDTH, Axis, Chart, Line, Words, round_ticks
from bench.contenders import WANWU

_STYLE = """
svg { --paper: #fffdf8; --ink: #24201b; --soft: #655d52; --line: #ddd4c5; --seal: #a8321f; --cool: #2f6b8a; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #24201b; --ink: #ece5d9; --soft: #aaa092; --line: #4a4239; --seal: #ea7b63; --cool: #7fb8d6; }
}
text { font: 11px -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; fill: var(--soft); }
[lang="zh-CN"] { display: none; }
.paper { fill: var(--paper); }
.tick-y, .name { text-anchor: end; }
.tick-x, .x { text-anchor: middle; }
.axis-name:not(.x) { font-size: 12px; fill: var(--ink); }
.rule { stroke: var(--line); }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.float32 { stroke: var(--cool); } .name.float32, .bar-name.float32 { fill: var(--cool); }
polyline.int8 { stroke: var(--seal); } .name.int8, .bar-name.int8 { fill: var(--seal); }
polyline.other { stroke: var(--soft); stroke-dasharray: 5 4; }
rect.float32 { fill: var(--cool); } rect.int8 { fill: var(--seal); } rect.other { fill: var(--soft); opacity: .55; }
"""
_MARGIN = 10
_NAME_WIDTH = 96
_BAR = 18


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure of a part's curves. `logarithmic`: the x axis doubles from tick to tick."""

    title: str
    x: str
    figure: str
    logarithmic: bool = True


def curves(plot: Plot, series: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A line for each series over its points' `x`; points without a figure are left out."""
    kept = {name: [one for one in points if math.isfinite(one[plot.figure])] for name, points in series.items()}
    places = sorted({one["x"] for points in kept.values() for one in points})
    top = max(one[plot.figure] for points in kept.values() for one in points)
    ticks = round_ticks(0, top)
    across = math.log2 if plot.logarithmic else float
    marked = [across(place) for place in places] if plot.logarithmic else round_ticks(0, places[-1])
    chart = Chart(
        Words(plot.title, ""),
        Axis(
            Words(plot.x, ""),
            marked[0],
            marked[-1],
            marked,
            lambda value: f"{2**value if plot.logarithmic else value:.4g}",
        ),
        Axis(Words(plot.title, ""), ticks[0], ticks[-1], ticks),
        [
            Line(Words(name, ""), [(across(one["x"]), one[plot.figure]) for one in points], style(name))
            for name, points in kept.items()
        ],
    )
    return _alone(chart.svg(), WIDTH, HEIGHT)


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar a server, from the top in the order given, with its value."""
    height = 24 + len(values) * (_BAR + 6)
    longest, room = max(values.values()), WIDTH - _NAME_WIDTH - 40
    word = Markup('<text class="{}" x="{}" y="{}">{}</text>')
    parts = [word.format("axis-name", 0, 12, title)]
    for index, (name, value) in enumerate(values.items()):
        top, width = 24 + index * (_BAR + 6), round(room * value / longest, 1)
        parts.append(word.format(f"bar-name {style(name)}", 0, top + 13, name))
        parts.append(
            Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                style(name), _NAME_WIDTH, top, width, _BAR
            )
        )
        parts.append(word.format("", _NAME_WIDTH + width + 5, top + 13, f"{value:.3g}"))
    whole = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>').format(
        WIDTH, height, title, Markup("\n").join(parts)
    )
    return _alone(whole, WIDTH, height)


def style(name: str) -> str:
    """Whose line it is: Wanwu's in float32, Wanwu's in int8, or somebody else's."""
    return name.removeprefix(WANWU).strip() if name.startswith(WANWU) else "other"


def _alone(chart: Markup, width: int, height: int) -> str:
    """The chart on a sheet of its own, whose colours do not depend on the page that shows it."""
    whole = f"{-_MARGIN} {-_MARGIN} {width + 2 * _MARGIN} {height + 2 * _MARGIN}"
    sheet = f'<rect class="paper" x="{-_MARGIN}" y="{-_MARGIN}" width="100%" height="100%" rx="6"/>'
    inner = str(chart).replace("<svg ", f'<svg width="{width}" height="{height}" overflow="visible" ', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{whole}" width="{2 * width}">\n'
        f"<style>{_STYLE}</style>\n{sheet}\n{inner}\n</svg>\n"
    )
