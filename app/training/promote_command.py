"""`python -m app models promote`: a version into service, if it is better. What it needs is imported when it runs."""

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.config import read_settings
from app.training.progress import events_option, progress_for

if TYPE_CHECKING:
    from app.training.verdict import Decision

STATUS: dict["Decision", int] = {"promote": 0, "keep": 3, "not_enough_evidence": 4}
"""The exit status of a decision; a failure has 1."""


@click.command("promote")
@click.argument("mode")
@click.argument("version", required=False)
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Compare on these labelled photos.")
@click.option("--force", is_flag=True, help="Promote whatever the comparison says; the history records it.")
@click.option("--why", default="", help="A word for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--by", default=getpass.getuser, hidden=True)
@events_option
def promote_command(
    mode: str, version: str | None, data: Path | None, force: bool, why: str, as_json: bool, by: str, events: bool
) -> None:
    """Put VERSION of MODE (or MODE@VERSION) into service, if it is better than the active one.

    Both answer the same pictures: the test photos of DATA, else those of the versions themselves, without any that
    either has learned from. VERSION is promoted when it wins (McNemar's exact test, p < 0.05), its calibration error is
    at most 2 points larger, a picture takes it at most 1.2 times as long, and no class loses significantly, or more
    than a tenth of at least 20 pictures.

    Exit status: 0 promoted, 3 kept as it is, 4 not enough evidence, 1 an error.
    """
    mode, _, named = mode.partition("@")
    if bool(named) == bool(version):
        raise click.UsageError("Name the version once: MODE VERSION, or MODE@VERSION.")
    settings = read_settings()
    from app.errors import DataError, ModelError
    from app.training.promotion import compare_versions, promote_blindly, switch
    from app.training.verdict_text import comparison_text

    chosen = version or named
    try:
        comparison = compare_versions(settings, mode, chosen, data, progress=progress_for(events))
    except (DataError, ModelError) as error:
        if not force:
            raise
        promote_blindly(settings, mode, chosen, str(error), by=by, why=why)
        facts = {"mode": mode, "candidate": chosen, "promoted": True, "forced": True, "not_compared": str(error)}
        click.echo(_json(facts) if as_json else f"Promoted by force, without a comparison. {error}")
        return
    promoted = switch(settings, comparison, by=by, why=why, forced=force)
    facts = comparison.facts() | {"promoted": promoted, "forced": force and comparison.verdict.decision != "promote"}
    click.echo(_json(facts) if as_json else comparison_text(comparison))
    if facts["forced"] and not as_json:
        click.echo("Promoted all the same, by force.")
    sys.exit(0 if promoted else STATUS[comparison.verdict.decision])


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, indent=1)
