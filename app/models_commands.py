"""`python -m app models …`: the modes under `models/`. What a command needs is imported when it runs."""

import getpass
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.class_command import add_class_command
from app.config import read_settings
from app.errors import ConfigError
from app.threshold_command import threshold_command
from app.training.promote_command import promote_command
from app.training.versions_command import compare_command
from app.trial_command import trial_command

if TYPE_CHECKING:
    from app.export.formats import Format

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def models() -> None:
    """The modes and their versions."""


@models.command("export")
@click.argument("mode")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["torchscript", "onnx", "int8", "dynamic"]),
    default="torchscript",
    show_default=True,
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The new folder. Default: MODE-VERSION-FORMAT, here."
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True),
    help="Check with up to 50 photos of this folder, not with drawn pictures.",
)
@_JSON
def export_command(mode: str, format_: "Format", output: Path | None, photos: Path | None, as_json: bool) -> None:
    """Write MODE (or MODE@VERSION) for programs without Wanwu: a folder with the model, model.json and example.py.

    The file is checked on 50 pictures against the mode as it is served in float32, and is thrown away where it
    disagrees. int8 is TorchScript with int8 weights and activations; dynamic has int8 linear layers, which saves
    a network of convolutions next to nothing.
    """
    settings = read_settings()
    from app.export.check import limits_of
    from app.export.export import Order, export
    from app.export.figures import table

    outcome = export(Order(mode, format_, output, photos), settings)
    checked = outcome.rows[-1].agreement.sentence(limits_of(format_))
    if as_json:
        rows = [asdict(row) for row in outcome.rows]
        click.echo(_json({"mode": mode, "rows": rows, "remark": outcome.remark, "checked": checked}))
        return
    click.echo(table(outcome.rows))
    if outcome.remark:
        click.echo(outcome.remark)
    click.echo(f"Checked on {checked}.")
    click.echo(f"Written: {outcome.folder} (try: python {outcome.folder / 'example.py'} photo.jpg)")


@models.command("list")
@_JSON
def list_command(as_json: bool) -> None:
    """Every mode and version: which is active, how good, how old, how large."""
    from app.registry.library import list_modes
    from app.registry.listing import modes_table

    records = list_modes(read_settings().models_dir)
    click.echo(_json([record.model_dump(mode="json") for record in records]) if as_json else modes_table(records))


@models.command("history")
@click.argument("mode")
@click.option(
    "--at", "moment", help="What served at that time, such as 2026-11-24T20:00 (UTC unless it says otherwise)."
)
@_JSON
def history_command(mode: str, moment: str | None, as_json: bool) -> None:
    """What MODE served and since when, put there by whom and why."""
    from app.registry.library import read_history
    from app.registry.listing import event_line, history_lines
    from app.registry.state import moment_of

    state = read_history(read_settings().models_dir, mode)
    if moment is None:
        events = [event.model_dump(mode="json") for event in state.history]
        click.echo(_json(events) if as_json else history_lines(state))
        return
    served = state.served_at(moment_of(moment))
    if as_json:
        click.echo(_json(served.model_dump(mode="json") if served else None))
    else:
        click.echo(event_line(served) if served else "Nothing is written down that served then.")


@models.command("rollback")
@click.argument("mode")
@click.option("--to", metavar="VERSION", help="Default: the version that served before the present one.")
@click.option("--why", default="", help="For the history.")
@_JSON
def rollback_command(mode: str, to: str | None, why: str, as_json: bool) -> None:
    """Take MODE back to an earlier version that served."""
    settings = read_settings()
    from app.registry.listing import event_line
    from app.serving.switching import roll_back

    event = roll_back(settings, mode, by=getpass.getuser(), why=why, to=to)
    click.echo(_json(event.model_dump(mode="json")) if as_json else event_line(event))


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--mode", required=True, metavar="KEY", help="The mode that it becomes a version of.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For a .pth: its classes, one a line. Default: the file of the same name beside it.",
)
@click.option("--title-en", help="The mode's name in English. Default: the model's own, or KEY.")
@click.option("--title-zh", help="The mode's name in Chinese. Default: the model's own, or KEY.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Below it the answer is unknown.")
@_JSON
def import_command(
    path: Path,
    mode: str,
    labels: Path | None,
    title_en: str | None,
    title_zh: str | None,
    threshold: float | None,
    as_json: bool,
) -> None:
    """Make PATH a version of a mode: a .pth state_dict, or the folder or zip of a version made elsewhere.

    It is checked as the server would load it. A mode's first version becomes active at once.
    """
    settings = read_settings()
    from app.registry.importing import Order
    from app.serving.switching import import_version

    order = Order(mode, labels, title_en, title_zh, threshold)
    record = import_version(path, order, settings, by=getpass.getuser())
    if as_json:
        click.echo(_json(record.model_dump(mode="json")))
    else:
        active = "and serves it now" if record.active else "and waits to be promoted"
        click.echo(f"{path.name} is {mode}@{record.version}, {active}.")


@models.command("delete")
@click.argument("name", metavar="MODE@VERSION")
@click.option("--why", default="", help="For the history.")
@_JSON
def delete_command(name: str, why: str, as_json: bool) -> None:
    """Delete a version that is neither active nor on trial."""
    from app.registry.library import delete_version

    mode, _, version = name.partition("@")
    delete_version(read_settings().models_dir, mode, version, by=getpass.getuser(), why=why)
    click.echo(_json({"deleted": name}) if as_json else f"{name} is deleted.")


@models.command("share")
def share_command() -> None:
    """Put every mode into the store of all sites (MODELS_STORE) that it does not have yet."""
    settings = read_settings()
    from app.registry.site import open_site

    site = open_site(settings)
    if site is None:
        raise ConfigError("The setting MODELS_STORE is not set: there is no store to share anything through.")
    shared = site.share()
    click.echo(f"Shared: {', '.join(shared)}." if shared else "The store has every mode that is here.")


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1)


models.add_command(trial_command)
models.add_command(promote_command)
models.add_command(compare_command)
models.add_command(threshold_command)
models.add_command(add_class_command)
