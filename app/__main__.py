"""The command line: `python -m app COMMAND`."""

import errno
import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import click

from app.config import ROOT, names_a_store, read_settings, set_library_defaults
from app.errors import OperatorError, PublicError

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


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--mode", default="imagenet", show_default=True)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Below it the answer is unknown. Default: the mode's own."
)
@click.option("--top-k", type=click.IntRange(1, 10), default=3, show_default=True)
@click.option(
    "--format", "format_", type=click.Choice(["csv", "jsonl"]), help="Default: by the output's name, else csv."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where to write; resumes what it holds."
)
def classify(
    paths: tuple[Path, ...], mode: str, threshold: float | None, top_k: int, format_: str | None, output: Path | None
) -> None:
    """Recognise whole folders: a line a picture, to CSV or JSON lines; files that cannot be read are reported."""
    from app.photos.files import find_pictures
    from app.registry.catalog import ENSEMBLE_MODE
    from app.serving.classify import Choice, classify_files
    from app.serving.manager import ModelManager

    settings = read_settings()
    manager = ModelManager(settings)
    manager.load()
    if mode == ENSEMBLE_MODE:
        manager.load_ensemble()
    chosen = manager.mode(mode)
    kind = format_ or ("jsonl" if output and output.suffix in (".jsonl", ".ndjson") else "csv")
    choice = Choice(
        chosen, chosen.threshold if threshold is None else threshold, top_k, settings.max_pixels, settings.torch_threads
    )
    counts = classify_files(find_pictures(paths), choice, kind, output)
    click.echo(counts.sentence(), err=True)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure against the plain reference in bench/; `bench --help` lists the options."""
    sys.exit(subprocess.run([sys.executable, "-m", "bench.run", *arguments], cwd=ROOT, check=False).returncode)  # noqa: S603


if __name__ == "__main__":
    main()
