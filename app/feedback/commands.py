"""`python -m app feedback …`: corrections on the command line."""

import getpass
import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings, read_settings
from app.errors import OperatorError

if TYPE_CHECKING:
    from app.feedback.database import Database
    from app.feedback.retention import Forgotten
    from app.feedback.review import Action, Status


@click.group()
def feedback() -> None:
    """What people said of answers: review it, export it, forget it."""


@feedback.command()
def migrate() -> None:
    """Bring the database's tables up to date; the server does so too, as it starts."""
    from app.feedback.database import Database
    from app.feedback.migrations import migrate as bring_up_to_date

    with closing(Database(read_settings().database)) as database, _said():
        changed = bring_up_to_date(database)
    click.echo("The tables are up to date." if changed else "The tables were up to date.")


@feedback.command("list")
@click.option("--status", type=click.Choice(["pending", "accepted", "rejected"]), default="pending", show_default=True)
@click.option("--mode", help="Only this mode's.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
def list_command(status: "Status", mode: str | None, limit: int) -> None:
    """List corrections, oldest first: one line for all that were sent of pictures that look the same."""
    from app.feedback.review import list_entries

    with _open() as (database, _):
        page = list_entries(database, status=status, mode=mode, limit=limit)
    for entry in page.entries:
        row = entry.correction
        wish = f"{row.kind}: {row.final_label or row.label}" if row.kind != "none" else "none of these"
        picture = "with picture" if row.picture else "no picture"
        click.echo(f"{row.id}  {row.mode}  {row.answer} ({row.confidence:.0%}) -> {wish}  x{entry.count}  {picture}")
    click.echo(f"{len(page.entries)} of {page.total} {status}.", err=True)


@feedback.command()
@click.argument("correction_id")
def accept(correction_id: str) -> None:
    """Take a correction as it was said."""
    _decide(correction_id, "accept")


@feedback.command()
@click.argument("correction_id")
@click.argument("label")
def relabel(correction_id: str, label: str) -> None:
    """Take a correction under another label."""
    _decide(correction_id, "relabel", label)


@feedback.command()
@click.argument("correction_id")
def reject(correction_id: str) -> None:
    """Turn a correction down."""
    _decide(correction_id, "reject")


@feedback.command()
@click.argument("correction_id")
def undo(correction_id: str) -> None:
    """Put a correction back into the queue."""
    _decide(correction_id, "undo")


@feedback.command()
@click.option("--rejected", is_flag=True, help="Forget the rejected ones too, however new.")
def prune(rejected: bool) -> None:
    """Forget what is older than RETENTION_DAYS, and pictures and rows that belong to nothing."""
    from app.feedback.retention import prune as forget_old

    with _open() as (database, settings), _said():
        forgotten = forget_old(database, settings.models_dir, settings.retention_days, rejected=rejected)
    _tell(forgotten)


@feedback.command("delete-everything")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_everything(yes: bool) -> None:
    """Forget all corrections and all pictures that people let this server keep."""
    from app.feedback.retention import delete_everything as forget_all

    if not yes:
        click.confirm("This deletes all corrections and all kept pictures for good. Go on?", abort=True)
    with _open() as (database, settings), _said():
        forgotten = forget_all(database, settings.models_dir)
    _tell(forgotten)


@feedback.command()
@click.argument("mode")
@click.argument("folder", type=click.Path(path_type=Path))
def export(mode: str, folder: Path) -> None:
    """Write MODE's accepted pictures to a new FOLDER, with list.txt (`python -m app train FOLDER/list.txt …`)."""
    from app.feedback.accepted import accepted_pictures
    from app.registry.files import written_whole

    if folder.exists():
        raise OperatorError(f"{folder} is already there.")
    with _open() as (database, settings), _said():
        pictures = accepted_pictures(database, settings.models_dir, mode)
    if not pictures:
        raise OperatorError(f"No accepted correction of {mode} has a picture.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(folder) as aside:
        for picture in pictures:
            shutil.copyfile(picture.path, aside / picture.path.name)
        lines = [f"{picture.path.name} {picture.label}\n" for picture in pictures]
        (aside / "list.txt").write_text("".join(lines), encoding="utf-8")
        known = [{"file": picture.path.name, "correction": picture.correction_id} for picture in pictures]
        (aside / "corrections.jsonl").write_text("".join(json.dumps(one) + "\n" for one in known), encoding="utf-8")
    click.echo(f"{len(pictures)} pictures of {mode} are in {folder}.")


def _decide(correction_id: str, action: "Action", label: str | None = None) -> None:
    from app.feedback.review import decide

    with _open() as (database, _):
        entry = decide(database, correction_id, action, revision=None, label=label, by=f"{getpass.getuser()}, here")
    row = entry.correction
    words = [row.status] + ([f"as {row.final_label}"] if row.final_label else [])
    joined = f" ({entry.count} that look the same)" if entry.count > 1 else ""
    click.echo(f"{' '.join(words)}{joined}.")


def _tell(forgotten: "Forgotten") -> None:
    click.echo(f"{forgotten.corrections} corrections and {forgotten.pictures} pictures are gone.")


@contextmanager
def _open() -> "Iterator[tuple[Database, Settings]]":
    """The database, its tables up to date."""
    from app.feedback.database import Database
    from app.feedback.migrations import migrate as bring_up_to_date

    settings = read_settings()
    with closing(Database(settings.database)) as database:
        with _said():
            bring_up_to_date(database)
        yield database, settings


@contextmanager
def _said() -> Iterator[Any]:
    """The database's failures as a sentence."""
    from app.feedback.trouble import one_line

    try:
        yield
    except SQLAlchemyError as error:
        raise OperatorError(f"The database cannot be used: {one_line(error)}") from error
