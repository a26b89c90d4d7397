"""`python -m app evaluate MODE DATA --episodes …`: its options, and what it prints. What it needs is imported later."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from app.config import read_settings
from app.training.progress import progress_for

_RECIPES = ("prototype", "knn", "svm", "head")


def with_episodes(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of an episodic evaluation."""
    options = (
        click.option(
            "--episodes",
            type=click.IntRange(2),
            help="Judge recipes on few photos instead: so many drawn tasks, on the network of MODE.",
        ),
        click.option("--ways", type=click.IntRange(2), default=5, show_default=True, help="Classes of an episode."),
        click.option(
            "--shots", callback=_shots, default="1,5,20", show_default=True, help="Photos a class to learn from."
        ),
        click.option(
            "--episode-recipes", "recipes", callback=_recipes, default=",".join(_RECIPES), show_default=True,
            help="Which recipes.",
        ),
        click.option(
            "--episode-views", "views", type=click.IntRange(0, 64), default=4, show_default=True,
            help="Varied views of each photo to learn from; train takes up to 16 of so few photos.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the episodes."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def print_episodes(mode: str, data: Path, wish: dict[str, Any], *, as_json: bool) -> None:
    """Run the episodes that `wish` (the options' values) asks for, and print the table, or JSON."""
    settings = read_settings()
    from app.serving.served import served_mode
    from app.training.episodes import Course, episodes

    course = Course(**wish)
    facts = episodes(served_mode(mode, settings), data, course, settings, progress_for(events=False))
    click.echo(json.dumps(facts, ensure_ascii=False, indent=1) if as_json else episodes_text(facts))


def episodes_text(facts: dict[str, Any]) -> str:
    """What was said by the way, and the rows as a Markdown table; `facts` are `training.episodes.episodes`'s."""
    lines = [
        f"{facts['backbone']}, {facts['photos']} photos of {facts['classes']} classes, {facts['views']} views of each.",
        *facts["notes"],
        "| photos a class | classes | recipe | right | 95 % interval | beside head | episodes | ms |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in facts["rows"]:
        accuracy, beside = row["accuracy"], row["beside_head"]
        lines.append(
            f"| {row['shots']} | {row['ways']} | {row['recipe']} | {accuracy['value']:.1%} "
            f"| {accuracy['low']:.1%} to {accuracy['high']:.1%} | {_points(beside)} "
            f"| {row['episodes']} | {row['milliseconds']:.0f} |"
        )
    return "\n".join(lines)


def _points(beside: dict[str, float] | None) -> str:
    """ "+1.2 (+0.4 to +2.0)": percentage points."""
    if beside is None:
        return ""
    value, low, high = (100 * beside[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _shots(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """ "1,5,20" as numbers."""
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and int(part) for part in numbers):
        raise click.BadParameter("numbers of photos with commas between, such as 1,5,20")
    return tuple(dict.fromkeys(int(part) for part in numbers))


def _recipes(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(names) <= set(_RECIPES):
        raise click.BadParameter(f"some of {', '.join(_RECIPES)}, with commas between")
    return names
