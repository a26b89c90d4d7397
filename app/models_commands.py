"""`python -m app models …`: the modes under `models/`. What a command needs is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.config import read_settings
from app.training.promote_command import promote_command

if TYPE_CHECKING:
    from app.export.formats import Format


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
def export_command(mode: str, format_: "Format", output: Path | None, photos: Path | None) -> None:
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
    click.echo(table(outcome.rows))
    if outcome.remark:
        click.echo(outcome.remark)
    click.echo(f"Checked on {outcome.rows[-1].agreement.sentence(limits_of(format_))}.")
    click.echo(f"Written: {outcome.folder} (try: python {outcome.folder / 'example.py'} photo.jpg)")


models.add_command(promote_command)
