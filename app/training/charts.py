"""Line charts as inline SVG: a few lines of our own, where a plotting library would weigh more than the rest."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 360, 230
"""In units of the viewBox; on a phone a unit is nearly a pixel, so that the words stay readable."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 10, 30, 32
_LABEL_GAP = 15
_TICKS = 4


@dataclass(frozen=True, slots=True)
class Words:
    """The same in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its points (x, y), its name, and its class in the style sheet."""

    name: Words
    points: Sequence[tuple[float, float]]
    style: str = "line"


@dataclass(frozen=True, slots=True)
class Axis:
    """What one direction shows: `low` to `high`, named, with `ticks` written by `write`."""

    name: Words
    low: float
    high: float
    ticks: Sequence[float]
    write: Callable[[float], str] = "{:g}".format


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves on two axes. `bars`: (low, high, height) boxes from the x axis. `marks`: vertical lines, (x, class)."""

    title: Words
    x: Axis
    y: Axis
    lines: Sequence[Line]
    bars: Sequence[tuple[float, float, float]] = ()
    marks: Sequence[tuple[float, str]] = ()
    labels: bool = True

    def svg(self) -> Markup:
        """The chart as one `<svg>` element, named by its title for those who cannot see it."""
        parts = [*self._grid(), *self._bars(), *self._marks(), *self._curves()]
        body = Markup("\n").join(parts)
        return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{} · {}">\n{}\n</svg>').format(
            WIDTH, HEIGHT, self.title.en, self.title.zh, body
        )

    def _x(self, value: float) -> float:
        share = (value - self.x.low) / ((self.x.high - self.x.low) or 1)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def _y(self, value: float) -> float:
        share = (min(max(value, self.y.low), self.y.high) - self.y.low) / ((self.y.high - self.y.low) or 1)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    def _grid(self) -> list[Markup]:
        rule = Markup('<line class="rule" x1="{}" x2="{}" y1="{}" y2="{}"/>')
        number = Markup('<text class="{}" x="{}" y="{}">{}</text>')
        parts = []
        for tick in self.y.ticks:
            y = self._y(tick)
            parts.append(rule.format(_LEFT, WIDTH - _RIGHT, y, y))
            parts.append(number.format("tick tick-y", _LEFT - 6, y + 4, self.y.write(tick)))
        for tick in self.x.ticks:
            parts.append(number.format("tick tick-x", self._x(tick), HEIGHT - _BOTTOM + 15, self.x.write(tick)))
        parts.append(_text("axis-name x", (_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 2, self.x.name))
        parts.append(_text("axis-name", 0, 12, self.y.name))
        return parts

    def _bars(self) -> list[Markup]:
        bar = Markup('<rect class="box" x="{}" y="{}" width="{}" height="{}"/>')
        floor = self._y(self.y.low)
        return [
            bar.format(self._x(low) + 1, self._y(top), self._x(high) - self._x(low) - 2, round(floor - self._y(top), 1))
            for low, high, top in self.bars
        ]

    def _marks(self) -> list[Markup]:
        mark = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
        return [mark.format(style, self._x(x), self._x(x), _TOP, HEIGHT - _BOTTOM) for x, style in self.marks]

    def _curves(self) -> list[Markup]:
        path = Markup('<polyline class="{}" points="{}"/>')
        dot = Markup('<circle class="{}" cx="{}" cy="{}" r="3"/>')
        parts, named = [], []
        for line in self.lines:
            places = [(self._x(x), self._y(y)) for x, y in line.points]
            if len(places) == 1:
                parts.append(dot.format(f"{line.style} dot", *places[0]))
            elif places:
                parts.append(path.format(line.style, " ".join(f"{x},{y}" for x, y in places)))
            if places:
                named.append((places[-1][1], line))
        return parts + (self._names(named) if self.labels else [])

    def _names(self, named: Sequence[tuple[float, Line]]) -> list[Markup]:
        """Each curve's name above its end, moved up where two would touch."""
        parts, taken = [], HEIGHT + 0.0
        for y, line in sorted(named, key=lambda one: -one[0]):
            taken = min(y - 6, taken - _LABEL_GAP)
            parts.append(_text(f"name {line.style}", WIDTH - _RIGHT, max(taken, _TOP), line.name))
        return parts


def round_ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`."""
    raw = (high - low) / count or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _text(style: str, x: float, y: float, words: Words) -> Markup:
    return Markup(
        '<text class="{}" x="{}" y="{}"><tspan lang="en">{}</tspan><tspan lang="zh-CN">{}</tspan></text>'
    ).format(style, x, y, words.en, words.zh)
