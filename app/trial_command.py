"""`python -m app models trial MODE …`: begin, watch and end the trial of a second version."""

import getpass
import json
from typing import Any, Literal

import click

from app.config import Settings, read_settings
from app.errors import OperatorError


@click.command("trial")
@click.argument("mode")
@click.argument("version", required=False)
@click.option("--kind", type=click.Choice(["split", "shadow"]), default="split", show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="The share of callers that a split gives to VERSION.",
)
@click.option("--stop", is_flag=True, help="End the trial that runs.")
@click.option("--why", default="", help="A word for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def trial_command(
    mode: str, version: str | None, kind: Literal["split", "shadow"], share: float, stop: bool, why: str, as_json: bool
) -> None:
    """Try VERSION beside MODE's active one, or show how the trial goes.

    A split lets VERSION answer a share of the callers, always the same ones. In shadow it sees every picture and
    answers nobody. A running server follows within two seconds.
    """
    if stop and version:
        raise click.UsageError("either VERSION or --stop")
    settings = read_settings()
    from sqlalchemy.exc import SQLAlchemyError

    from app.feedback.database import Database
    from app.feedback.figures import trial_report
    from app.feedback.migrations import migrate

    if version:
        _begin(settings, mode, version, kind, share, why)
    elif stop:
        _end(settings, mode, why)
    database = Database(settings.database)
    try:
        migrate(database)
        report = trial_report(database, settings.models_dir, mode)
    except SQLAlchemyError as error:
        raise OperatorError("The figures cannot be read: the database does not answer.") from error
    finally:
        database.close()
    click.echo(json.dumps(report, ensure_ascii=False, indent=2) if as_json else table(report))


def _begin(
    settings: Settings, mode: str, version: str, kind: Literal["split", "shadow"], share: float, why: str
) -> None:
    from app.registry.state import new_trial, set_trial
    from app.serving.served import served_mode

    served_mode(f"{mode}@{version}", settings)
    set_trial(settings.models_dir / mode, new_trial(version, kind, share), by=getpass.getuser(), why=why)


def _end(settings: Settings, mode: str, why: str) -> None:
    from app.registry.state import set_trial

    set_trial(settings.models_dir / mode, None, by=getpass.getuser(), why=why)


_COLUMNS = ("version", "role", "pictures", "unknown_rate", "agreement", "mean_infer_ms", "errors", "corrections")


def table(report: dict[str, Any]) -> str:
    """The report for people: what runs, and a line a version."""
    trial = report["trial"]
    if trial is None:
        return f"{report['mode']}: {report['active']} answers alone."
    share = f", {trial['share']:.0%} of the callers" if trial["kind"] == "split" else ""
    names = f"{report['mode']}: {trial['version']} beside {report['active']}"
    head = f"{names} ({trial['kind']}{share}) since {trial['since']}"
    rows = [_COLUMNS, *(tuple(_cell(column, figures[column]) for column in _COLUMNS) for figures in report["versions"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([head, *lines])


def _cell(column: str, value: Any) -> str:  # noqa: ANN401 - a figure, a rate, a name or nothing
    if value is None:
        return "-"
    return f"{value:.1%}" if column in ("unknown_rate", "agreement") else str(value)
