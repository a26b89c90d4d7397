"""`python -m app models add-class MODE LABEL PHOTOS…`: one more class for a mode, in a few seconds."""

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.config import read_settings

if TYPE_CHECKING:
    from app.serving.new_class import Addition


@click.command("add-class")
@click.argument("mode")
@click.argument("label")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--label-zh", help="The class's name in Chinese. Default: LABEL.")
@click.option("--promote", is_flag=True, help="Let it serve at once, without a comparison; the history says so.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add_class_command(
    mode: str, label: str, photos: tuple[Path, ...], label_zh: str | None, promote: bool, as_json: bool
) -> None:
    """Add the class LABEL to MODE from 5 PHOTOS or more (files or folders): a new version of what serves now.

    Nothing is trained anew: what the other classes learned stays as it is. The new version waits to be promoted, as any
    later one does. With hundreds of photos of the class, train the mode again instead.
    """
    settings = read_settings()
    import torch

    from app.photos.files import find_pictures
    from app.serving.loading import Loader
    from app.serving.new_class import Order, add_class
    from app.serving.new_photos import Given

    torch.set_num_threads(settings.torch_threads)
    given = [Given(path.name, path.read_bytes(), path) for path in find_pictures(photos)]
    version = Loader(settings).version
    order = Order(mode, label.strip(), label_zh, given, promote)
    addition = add_class(order, settings, by=getpass.getuser(), load=version, check=version)
    click.echo(json.dumps(addition.facts(), ensure_ascii=False, indent=1) if as_json else addition_text(addition))


def addition_text(one: "Addition") -> str:
    """What came of it, as lines."""
    name = f"{one.mode}@{one.version}"
    lines = [
        f"{name}: {one.parent} with the class '{one.label}', from {one.photos} photos, in {one.seconds:.1f} s.",
        *(f"Left out: {photo.name}. {photo.en}" for photo in one.left_out),
        f"Of the new photos, each judged by what the others teach, {one.right} of {one.photos} are right, and "
        f"{one.named} of these named.",
    ]
    if one.old:
        lines.append(
            f"Of {one.old.judged} {one.old.part} photos of the other classes {one.old.changed} changed their answer; "
            f"{one.old.lost} of these had been right."
        )
    else:
        lines.append("No photo of the other classes is left that it has not learned from: what they lose is not known.")
    served = "It serves now." if one.active else f"It waits to be promoted: python -m app models promote {name}"
    return "\n".join([*lines, served])
