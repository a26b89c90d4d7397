"""`python -m app models compare`: two versions on the same held-out pictures, and nothing changed."""

import json
from pathlib import Path

import click

from app.config import read_settings
from app.training.progress import events_option, progress_for


@click.command("compare")
@click.argument("mode")
@click.argument("first")
@click.argument("second")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Compare on these labelled photos.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@events_option
def compare_command(mode: str, first: str, second: str, data: Path | None, as_json: bool, events: bool) -> None:
    """Let the versions FIRST and SECOND of MODE answer the same pictures: which has more right, and is it chance?

    The pictures are the test photos of DATA, else those of the versions themselves, without any that either has learned
    from, as for `models promote`. Nothing is promoted.
    """
    settings = read_settings()
    from app.training.promotion import compare_versions
    from app.training.verdict_text import side_by_side_text

    comparison = compare_versions(settings, mode, first, data, against=second, progress=progress_for(events))
    click.echo(
        json.dumps(comparison.facts(), ensure_ascii=False, indent=1) if as_json else side_by_side_text(comparison)
    )
