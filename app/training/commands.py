"""`python -m app train`: its options are made from the fields of `Options`."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.cluster.option import ray_option
from app.config import read_settings
from app.errors import DataError
from app.training.options import Options, Search
from app.training.progress import Progress, events_option, progress_for

if TYPE_CHECKING:
    from app.training.order import Order


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = "--" + name.replace("_", "-")
    kind = _plain_type(field.annotation)
    shown: dict[str, Any] = {"help": field.description, "default": None}
    if field.default is not None:
        default = {True: "yes", False: "no"}[field.default] if kind is bool else field.default
        shown["help"] = f"{field.description} [default: {default}]"
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, **shown)
    if get_origin(kind) is Literal:
        return click.option(flag, name, type=click.Choice(get_args(kind)), **shown)
    return click.option(flag, name, type=kind, **shown)


def _plain_type(annotation: Any) -> Any:  # noqa: ANN401 - whatever a field may be annotated with
    """`Annotated[float, …] | None` and the like to `float`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (UnionType, Union):
            annotation = next(part for part in get_args(annotation) if part is not NoneType)
        else:
            return annotation


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with one click option for every field of `Options`, under the field's own name and description."""
    for name, field in reversed(Options.model_fields.items()):
        command = _option(name, field)(command)
    return command


def read_options(values: dict[str, Any]) -> Options:
    """The options that click read.

    Raises:
        DataError: a value is out of range; the sentence names the option.
    """
    try:
        return Options(**{name: values[name] for name in Options.model_fields if values.get(name) is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        raise DataError(f"The option {name} is wrong: {first['msg']} (it is {first['input']}).") from error


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--mode", required=True, help="The key of the mode: letters, digits, '_', '-' and '.'.")
@click.option("--title-en", help="The mode's name for people. Default: the key.")
@click.option("--title-zh", help="The same in Chinese.")
@click.option(
    "--unknown",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A folder of pictures that show none of the classes: what the mode must not name. May be given several times.",
)
@click.option("--resume", is_flag=True, help="Go on with the same run, where it was killed.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead.")
@click.option("--search", "minutes", type=click.FloatRange(0, min_open=True), help="Look for better options so long.")
@click.option("--study", help="With --search: a shared database's address, for several processes or machines.")
@click.option("--join", is_flag=True, help="With --search: help the search of another process, and write no version.")
@ray_option
@click.option("--by", default="training", hidden=True)
@events_option
@with_options
def train(
    data: Path,
    mode: str,
    title_en: str | None,
    title_zh: str | None,
    unknown: tuple[Path, ...],
    resume: bool,
    as_json: bool,
    minutes: float | None,
    study: str | None,
    join: bool,
    ray_address: str | None,
    by: str,
    events: bool,
    **values: object,
) -> None:
    """Teach your own classes from the labelled photos in DATA; a running server picks the mode up.

    DATA: class folders of photos, train/ val/ test/ folders of these, list files (`path label` lines), or a zip of any.
    """
    options = read_options(values)
    from app.registry.state import active_version
    from app.training.order import Order
    from app.training.report import REPORT_HTML, report_json
    from app.training.run import help_search, train
    from app.training.search_lines import lines
    from app.training.terminal import report_text

    search = _search(minutes, study, join)
    order = Order(data, mode, options, title_en, title_zh, resume, by=by, unknown=unknown, search=search)
    try:
        if join:
            found = help_search(order, read_settings(), progress_for(events))
            click.echo(json.dumps(found, ensure_ascii=False, indent=1) if as_json else "\n".join(lines(found)))
            return
        progress = progress_for(events)
        with _helped(ray_address, order, progress):
            outcome = train(order, read_settings(), progress)
    except KeyboardInterrupt:
        raise click.ClickException("Stopped before there was anything to keep; --resume goes on from here.") from None
    facts = report_json(outcome)
    if as_json:
        active = active_version(outcome.folder.parent) == outcome.version
        click.echo(json.dumps({**facts, "active": active}, ensure_ascii=False, indent=1))
    else:
        click.echo(f"{report_text(facts)}\nWritten: {outcome.folder} (the report: {REPORT_HTML})")


def _helped(ray_address: str | None, order: "Order", progress: Progress) -> AbstractContextManager[None]:
    """Within it the cluster helps, where one is named."""
    if ray_address is None:
        return nullcontext()
    from app.training.spreading import helpers

    return helpers(ray_address, order, progress)


def _search(minutes: float | None, study: str | None, join: bool) -> Search | None:
    """The search asked for, or None.

    Raises:
        DataError: something is said of a search, and none asked for.
    """
    if minutes is None:
        if study or join:
            raise DataError("--study and --join belong to --search MINUTES.")
        return None
    return Search(minutes, study, join)
