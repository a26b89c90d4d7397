"""`python -m app retrain`: learn from what was corrected. What it needs is imported when it runs."""

import getpass
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cluster.option import ray_option
from app.config import Settings, read_settings
from app.errors import OperatorError
from app.training.progress import Progress, events_option, progress_for

if TYPE_CHECKING:
    from app.feedback.retraining import Retrained


@click.command("retrain")
@click.argument("mode")
@click.option("--when", type=click.IntRange(1), help="Wait until so many new corrections are accepted.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Compare on these labelled photos, rather than on the held-out ones.",
)
@click.option("--why", default="", help="A word for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@ray_option
@click.option("--by", default=getpass.getuser, hidden=True)
@events_option
def retrain_command(
    mode: str,
    when: int | None,
    data: Path | None,
    why: str,
    as_json: bool,
    ray_address: str | None,
    by: str,
    events: bool,
) -> None:
    """Teach MODE what was corrected, and put the new version into service if it is better.

    The active version's own photos and the accepted corrections are gathered, looked over and learned from with the
    version's own options. One correction in five is never learned from, but judged on. Whether the new version is
    better is decided as by `models promote`.

    Exit status: 0 promoted, 3 kept as it is, 4 not enough evidence, 1 an error.
    """
    settings = read_settings()
    from app.training.promote_command import STATUS
    from app.training.report import report_json
    from app.training.terminal import report_text
    from app.training.verdict_text import comparison_text

    try:
        done = _retrained(mode, when, ray_address, settings, progress_for(events), by=by, data=data, why=why)
    except KeyboardInterrupt:
        raise click.ClickException("Stopped; what was in service stays in service.") from None
    if as_json:
        click.echo(json.dumps(done.facts(), ensure_ascii=False, indent=1))
    else:
        click.echo(f"{report_text(report_json(done.outcome))}\n\n{comparison_text(done.comparison)}")
    sys.exit(STATUS[done.comparison.verdict.decision])


def _retrained(
    mode: str,
    when: int | None,
    ray_address: str | None,
    settings: Settings,
    progress: Progress,
    *,
    by: str,
    data: Path | None,
    why: str,
) -> "Retrained":
    from sqlalchemy.exc import SQLAlchemyError

    from app.feedback.database import Database
    from app.feedback.migrations import migrate
    from app.feedback.retraining import retrain, wait_for
    from app.feedback.trouble import one_line

    try:
        with closing(Database(settings.database)) as database:
            migrate(database)
            if when:
                wait_for(when, database, settings.models_dir, mode, progress.say)
            if ray_address:
                from app.feedback.spreading import retrain_on  # which needs Ray

                return retrain_on(ray_address, mode, by=by, data=data, why=why)
            return retrain(mode, settings, database, progress, by=by, data=data, why=why)
    except SQLAlchemyError as error:
        raise OperatorError(f"The database cannot be used: {one_line(error)}") from error
