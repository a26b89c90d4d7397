"""`python -m app models threshold MODE …`: below which confidence a version says "unknown"."""

import getpass
import json

import click

from app.config import read_settings


@click.command("threshold")
@click.argument("mode", metavar="MODE[@VERSION]")
@click.argument("value", type=click.FloatRange(0, 1), required=False)
@click.option("--reset", is_flag=True, help="Back to the version's own.")
@click.option("--why", default="", help="A word for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def threshold_command(mode: str, value: float | None, reset: bool, why: str, as_json: bool) -> None:
    """Let MODE's active version, or MODE@VERSION, say "unknown" below VALUE (0 to 1) wherever it answers.

    The version itself never changes: its manifest keeps its own threshold, to which --reset goes back. A running server
    follows within two seconds.
    """
    if reset == (value is not None):
        raise click.UsageError("either VALUE or --reset")
    settings = read_settings()
    from app.registry.library import decide_threshold
    from app.registry.listing import event_line

    key, _, version = mode.partition("@")
    event = decide_threshold(settings.models_dir, key, version or None, value, by=getpass.getuser(), why=why)
    click.echo(
        json.dumps(event.model_dump(mode="json"), ensure_ascii=False, indent=1) if as_json else event_line(event)
    )
