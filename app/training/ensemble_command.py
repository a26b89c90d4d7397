"""The command `ensemble`. What it needs is imported when it runs: `--help` does not wait for torch."""

import json
from pathlib import Path
from typing import Literal

import click

from app.config import read_settings
from app.errors import DataError
from app.training.progress import events_option, progress_for


@click.command("ensemble")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--mode", required=True, help="The key of the mode that it becomes a version of.")
@click.option("--members", required=True, help="MODE or MODE@VERSION, with commas between; one is enough with --tta.")
@click.option(
    "--weights", default="equal", show_default=True, help="equal, fitted, or a number for each, with commas between."
)
@click.option(
    "--tta",
    "views",
    type=click.Choice(["plain", "flip", "crops"]),
    default="plain",
    show_default=True,
    help="Look at each picture more than once: mirrored too, or its centre and four corners.",
)
@click.option(
    "--accepted",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="The share of known photos that the threshold must let through.",
)
@click.option("--title-en", help="The mode's name for people. Default: the first member's.")
@click.option("--title-zh", help="The same in Chinese.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead.")
@click.option("--by", default="ensemble", hidden=True)
@events_option
def ensemble_command(
    data: Path,
    mode: str,
    members: str,
    weights: str,
    views: Literal["plain", "flip", "crops"],
    accepted: float,
    title_en: str | None,
    title_zh: str | None,
    as_json: bool,
    by: str,
    events: bool,
) -> None:
    """Let several taught modes, or versions of one, answer together: the mean of their calibrated probabilities.

    DATA: labelled photos as for train, by which the members are weighed and judged; those that a member learned from
    are left out. Fitted weights make the true classes of the validation part likeliest.
    """
    names = tuple(name.strip() for name in members.split(",") if name.strip())
    if not names:
        raise DataError("An ensemble needs members: MODE or MODE@VERSION, with commas between.")
    chosen = _weights(weights)
    settings = read_settings()
    from app.registry.state import active_version
    from app.training.ensembling import EnsembleOrder, put_together
    from app.training.report import REPORT_HTML, report_json
    from app.training.terminal import report_text

    order = EnsembleOrder(data, mode, names, chosen, views, accepted, title_en, title_zh, by)
    outcome = put_together(order, settings, progress_for(events))
    facts = report_json(outcome)
    active = active_version(outcome.folder.parent) == outcome.version
    if as_json:
        click.echo(json.dumps({**facts, "active": active}, ensure_ascii=False, indent=1))
        return
    click.echo(report_text(facts))
    state = "and serves now" if active else "and waits to be promoted"
    click.echo(f"Written: {outcome.folder} (the report: {REPORT_HTML}), {state}.")


def _weights(text: str) -> tuple[float, ...] | Literal["equal", "fitted"]:
    match text:
        case "equal" | "fitted":
            return text
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise DataError(f"The weights are equal, fitted, or numbers with commas between: not {text!r}.") from error
