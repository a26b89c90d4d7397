"""The report as one HTML file in both languages: no other file, no other host, no script needed."""

import base64
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from app.config import ROOT
from app.errors import PublicError
from app.training.plots import calibration_chart, curve_charts, threshold_chart
from app.training.report import Facts
from app.vision.picture import decode

_HERE = Path(__file__).resolve().parent
_SIDE = 240
"""The longer side of a picture in the report, pixels."""
_QUALITY = 72
_MANY_CLASSES = 40
"""A confusion matrix of more is no longer read by anyone: the commonest confusions are listed instead."""


def report_html(facts: Facts, pictures: Sequence[Path | None], *, max_pixels: int) -> str:
    """The page of `facts` (`report_json`). `pictures` are the files of its mistakes, in the same order.

    A picture that is None, cannot be read, or has more than `max_pixels`, leaves its frame empty.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=percent, share=share, day=_day)
    shown = [_inline(path, max_pixels) if path else None for path in pictures]
    page = environment.get_template("report.html.jinja").render(
        facts=facts,
        judged=facts[facts["judged_on"]],
        style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        seal=Markup((ROOT / "static" / "icon.svg").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        options=list(_options(facts["options"])),
        curves=curve_charts(facts),
        calibration=calibration_chart(facts),
        threshold=threshold_chart(facts),
        mistakes=list(zip(facts["mistakes"], shown, strict=True)),
        show_matrix=len(facts["labels"]) <= _MANY_CLASSES,
    )
    return page + "\n"


def percent(value: float | None, digits: int = 0) -> str:
    """A share for people; never "100%" unless it is."""
    if value is None:
        return "–"
    text = f"{value:.{digits}%}"
    return text if value >= 1 or not text.startswith("100") else f">{99 if not digits else 99.9}%"


def share(value: float) -> float:
    """A share as a place on a scale of 100."""
    return round(value * 100, 2)


def _options(options: Facts) -> Iterator[tuple[str, str]]:
    """The options that were set, for people; what a recipe chose by itself stands among them."""
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _options(value)
        elif value is not None:
            text = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else None
            yield key, text or (f"{value:.4g}" if isinstance(value, float) else str(value))


def _day(created: str) -> dict[str, str]:
    moment = datetime.fromisoformat(created)
    return {"en": f"{moment:%-d %B %Y}", "zh": f"{moment.year} 年 {moment.month} 月 {moment.day} 日"}


def _inline(path: Path, max_pixels: int) -> dict[str, Any] | None:
    """A picture as a small JPEG inside the page: its address, width and height."""
    try:
        image = decode(path.read_bytes(), max_pixels=max_pixels, shortest_side=_SIDE).image
    except (OSError, PublicError):
        return None
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    address = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"address": address, "width": image.width, "height": image.height}
