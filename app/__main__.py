"""The command line: `python -m app COMMAND`."""

import errno
import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cluster.option import ray_option
from app.config import ROOT, Settings, names_a_store, read_settings, set_library_defaults
from app.errors import OperatorError, PublicError

if TYPE_CHECKING:  # --help does not wait for torch
    from app.serving.mode import Mode

LAZY = {
    "models": "app.models_commands:models",
    "train": "app.training.commands:train",
    "evaluate": "app.training.evaluate_commands:evaluate_command",
    "ensemble": "app.training.ensemble_command:ensemble_command",
    "compare": "app.training.evaluate_commands:compare_command",
    "feedback": "app.feedback.commands:feedback",
    "retrain": "app.feedback.retrain_command:retrain_command",
    "deploy": "app.cluster.deploy_command:deploy_command",
}
"""Commands of other files, imported only when they are asked for: serving must not need what training needs."""

_OF_A_CLUSTER = ("ray", "pyarrow")
"""Packages that only --ray needs."""

_OPERATORS_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
"""A disk that is full, or not to be written to: nothing that a traceback would help with."""


class Commands(click.Group):
    """Says an operator's error in one sentence, without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, the lazy ones too."""
        return sorted([*super().list_commands(ctx), *LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now if it is a lazy one."""
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        module, _, name = LAZY[cmd_name].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            what, extra = ("A cluster", "cluster") if "cluster" in module else ("Teaching", "train")
            raise click.ClickException(
                f"{what} needs more than serving ({error.name} is missing): pip install -r requirements-{extra}.txt"
            ) from error
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; exit 1 on an error that Wanwu names."""
        try:
            return super().invoke(ctx)
        except (OperatorError, PublicError) as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            if error.name not in _OF_A_CLUSTER:
                raise
            raise click.ClickException(
                f"A cluster needs more than serving ({error.name} is missing): pip install -r requirements-cluster.txt"
            ) from error
        except OSError as error:
            if error.errno not in _OPERATORS_ERRORS:
                raise
            raise click.ClickException(f"{error.strerror}: {error.filename or 'while writing'}.") from error


@click.group(cls=Commands)
@click.pass_context
def main(context: click.Context) -> None:
    """Wanwu 万物识别: recognise things in photos, offline, on a plain CPU."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if names_a_store() and context.invoked_subcommand != "serve":  # whose workers do it themselves
        from app.registry.following import Follower

        Follower(read_settings()).once()


@main.command()
def serve() -> None:
    """Serve the page and the API with gunicorn on HOST:PORT."""
    settings = read_settings()
    if settings.log_format == "text":  # the other is for programs, and gunicorn says there where it listens
        click.echo(f"Wanwu 万物识别: http://{settings.host}:{settings.port}", err=True)
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    os.chdir(ROOT)
    set_library_defaults()
    os.execv(command[0], command)  # noqa: S606 - our own arguments, no shell


@main.command("fetch-weights")
@click.option(
    "--network", default="resnet18", show_default=True, help="Any torchvision network that publishes weights."
)
@click.option("--url", help="A mirror to take them from; the hash in the file's name must still fit.")
def fetch_weights(network: str, url: str | None) -> None:
    """Download a network's ImageNet weights into models/, resumed and checked; without a network, say what serves."""
    from app.errors import WeightsError
    from app.vision import weights

    settings = read_settings()

    def progress(done: int, total: int | None) -> None:
        share = f" of {total / 1e6:.0f}" if total else ""
        click.echo(f"\r{network}: {done / 1e6:.1f}{share} MB", nl=done == total, err=True)

    try:
        found = weights.fetch_weights(settings, network, url=url, progress=progress)
    except WeightsError as error:
        if network != "resnet18":
            raise
        found = weights.find_weights(settings)
        click.echo(f"\n{error}\nUntil ResNet-18 is here, {found.name} answers, and says so.", err=True)
    click.echo(f"{found.name} {found.version} ({found.origin}), sha256 {found.sha256}")


class _Place(click.Path):
    """A path that exists, or an address such as s3://bucket/folder, which only a cluster reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """The path as a string; an address as it is."""
        return value if "://" in value else super().convert(value, param, ctx)


@main.command()
@click.argument("paths", nargs=-1, required=True, type=_Place(exists=True))
@click.option("--mode", default="imagenet", show_default=True)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Below it the answer is unknown. Default: the mode's own."
)
@click.option("--top-k", type=click.IntRange(1, 10), default=3, show_default=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    help="Default: by the output's name, else csv; with --ray: jsonl or parquet, which is the default.",
)
@click.option(
    "--output", "-o", help="Where to write; resumes what it holds. A file; with --ray a folder or an address (s3://…)."
)
@ray_option
def classify(
    paths: tuple[str, ...],
    mode: str,
    threshold: float | None,
    top_k: int,
    format_: str | None,
    output: str | None,
    ray_address: str | None,
) -> None:
    """Recognise whole folders: a line a picture, to CSV or JSON lines; files that cannot be read are reported.

    With --ray, PATHS may be addresses of stores, and the output is a folder of Parquet or JSON lines.
    """
    from app.serving.classify import Choice

    _check_output(paths, format_, output, ray_address)
    settings = read_settings()
    chosen = _served(mode, settings)
    choice = Choice(
        chosen, chosen.threshold if threshold is None else threshold, top_k, settings.max_pixels, settings.torch_threads
    )
    if ray_address and output:
        from app.cluster.bulk import classify_on
        from app.cluster.parts import Parts

        counts = classify_on(ray_address, paths, choice, Parts(output, format_ or "parquet"))
    else:
        from app.photos.files import find_pictures
        from app.serving.classify import classify_files

        kind = format_ or ("jsonl" if output and output.endswith((".jsonl", ".ndjson")) else "csv")
        counts = classify_files(find_pictures(map(Path, paths)), choice, kind, Path(output) if output else None)
    click.echo(counts.sentence(), err=True)


def _served(key: str, settings: Settings) -> "Mode":
    """The mode as the server would load it. Raises UnknownMode."""
    from app.registry.catalog import ENSEMBLE_MODE
    from app.serving.manager import ModelManager

    manager = ModelManager(settings)
    manager.load()
    if key == ENSEMBLE_MODE:
        manager.load_ensemble()
    return manager.mode(key)


def _check_output(paths: tuple[str, ...], kind: str | None, output: str | None, ray_address: str | None) -> None:
    """Raises click.UsageError: one machine cannot do what only a cluster can, or the other way about."""
    if ray_address and (output is None or kind == "csv"):
        raise click.UsageError("With --ray, name an --output folder or address; its --format is parquet or jsonl.")
    if not ray_address and (kind == "parquet" or any("://" in place for place in (*paths, output or ""))):
        raise click.UsageError("Parquet, and addresses such as s3://bucket/folder, need a cluster: --ray ADDRESS.")
    if not ray_address and output and Path(output).is_dir():
        raise click.UsageError(f"{output} is a folder: without --ray, name a file.")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure against the plain reference in bench/; `bench --help` lists the options."""
    sys.exit(subprocess.run([sys.executable, "-m", "bench.run", *arguments], cwd=ROOT, check=False).returncode)  # noqa: S603


if __name__ == "__main__":
    main()
