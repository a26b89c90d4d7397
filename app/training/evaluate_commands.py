"""The commands `evaluate` and `compare`. What they need is imported when they run: `--help` does not wait for torch."""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from app.cluster.option import ray_option
from app.config import read_settings
from app.training.episodes_command import print_episodes, with_episodes

_PARTS = {"train": "train", "val": "validation", "test": "test", "all": "all"}


@click.command("evaluate")
@click.argument("mode")
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--part",
    type=click.Choice(list(_PARTS)),
    help="Which photos. Default: test where there is one, else val, else all.",
)
@click.option(
    "--unknown",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A folder of pictures that show none of MODE's classes. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@with_episodes
def evaluate_command(
    mode: str,
    data: Path,
    part: str | None,
    unknown: tuple[Path, ...],
    as_json: bool,
    **episodic: Any,  # noqa: ANN401
) -> None:
    """Judge MODE (or MODE@VERSION) on the labelled photos of DATA: folders, lists or a zip, as for train.

    With --episodes: judge the recipes instead, on the network of MODE, as if there were only few photos of DATA.
    """
    if episodic["episodes"]:
        if part:
            raise click.UsageError("Episodes are drawn from all photos of DATA: leave --part out.")
        return print_episodes(mode, data, episodic, as_json=as_json)
    settings = read_settings()
    from app.serving.served import served_mode
    from app.training.judging import judge
    from app.training.terminal import judgement_text

    loaded = served_mode(mode, settings)
    facts = judge(loaded, data, max_pixels=settings.max_pixels, part=_PARTS[part] if part else None, unknown=unknown)
    click.echo(json.dumps(facts, ensure_ascii=False, indent=1) if as_json else judgement_text(facts))
    return None


@click.command("compare")
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--recipes", help="The rows, in order: base, RECIPE or RECIPE/CHANGE, with commas between.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Runs of a row; medians are shown.")
@click.option(
    "--test-share", type=click.FloatRange(0, 0.9), default=0.0, help="Hold back a stratified test part first."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@ray_option
def compare_command(
    data: Path, recipes: str | None, seeds: int, test_share: float, as_json: bool, ray_address: str | None
) -> None:
    """Train recipes and options on the same split of DATA, and print one table.

    RECIPE is head, staged, full, prototype, knn or svm.

    CHANGE is no-stopping, no-augmentation, no-balance or distilled.
    """
    settings = read_settings()
    from app.training.comparison import DEFAULT_ROWS, Workbench, compare, rows_named, table

    names = rows_named(recipes) if recipes else DEFAULT_ROWS
    say = partial(click.echo, err=True)
    if ray_address:
        from app.training.spreading import compare_on

        rows = compare_on(ray_address, names, seeds, data, test_share, say)
    else:
        with tempfile.TemporaryDirectory(prefix="wanwu-compare-") as folder:
            rows = compare(names, seeds, Workbench(Path(folder), settings, data, test_share, say=say))
    cells = [row.cells() for row in rows]
    click.echo(json.dumps(cells, ensure_ascii=False, indent=1) if as_json else table(rows))
