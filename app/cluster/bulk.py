"""`classify --ray`: pictures by the million, on all cores of a cluster, with Ray Data.

Ray Data hands out lists of paths, not pictures: who recognises them reads them, too, and writes their rows as one part
of the output. So nothing large travels, what is written is written once, and a run that was killed goes on with the
paths that no part holds.
"""

import hashlib
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import ray
from ray.data import ActorPoolStrategy, DataContext

from app.cluster.parts import Parts
from app.cluster.places import Reader, is_address, pictures_in
from app.cluster.replica import model_id
from app.cluster.session import cores, joined
from app.cluster.tasks import settings_of_a_core
from app.errors import ModelError, OperatorError
from app.registry.catalog import BUILT_IN
from app.serving.batching import Batcher
from app.serving.classify import Choice, Counts, rows_of
from app.serving.mode import Mode
from app.serving.served import served_mode

PART_ROWS = (16, 1024)
"""The fewest and the most of a part: what a kill costs each core, and how many files millions become."""
PARTS_A_CORE = 8
"""So that no core is left with much to do while the others have ended."""
TOLD = 100
"""So many of the files that could not be read are named at the end."""
_CLAIM_S = 15


@dataclass(frozen=True, slots=True)
class Job:
    """What every process of the cluster is told. `model`: a `model_id`; `folder`: where relative paths begin."""

    model: str
    threshold: float
    top_k: int
    max_pixels: int
    folder: str
    parts: Parts


class Recogniser:
    """One core of the cluster at work, with the networks of its own node's `models/`."""

    def __init__(self, job: Job) -> None:
        self._parts = job.parts
        self._choice = Choice(_mode(job.model), job.threshold, job.top_k, job.max_pixels, threads=1)
        self._batcher = Batcher(1)
        self._reader = Reader(job.folder)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The `paths` of one part, recognised and written: how many were `done`, and which are `bad`, with codes."""
        rows = list(rows_of(row["paths"], self._choice, self._batcher, self._reader))
        self._parts.write(rows)
        bad = [one for one in rows if one["error"]]
        return {
            "done": len(rows) - len(bad),
            "bad": [one["path"] for one in bad],
            "codes": [one["error"] for one in bad],
        }


def classify_on(address: str, places: Sequence[str], choice: Choice, parts: Parts) -> Counts:
    """Classify all pictures at `places` on the cluster into `parts`, with a progress bar; what is there is kept.

    Raises:
        OperatorError: the cluster, a place or the output cannot be used; what was written by then stays.
    """
    job = Job(
        model_id(choice.mode), choice.threshold, choice.top_k, choice.max_pixels, str(Path.cwd()), _absolute(parts)
    )
    with joined(address):
        claim = _claim(job.parts)
        done = job.parts.done(choice.mode)
        found = pictures_in(places)
        waiting = [path for path in found if path not in done]
        counts = Counts(skipped=len(found) - len(waiting))
        bad = _run(job, waiting, counts, choice.mode.key) if waiting else []
        del claim
    for path, code in bad[:TOLD]:
        click.echo(f"{path}: {code}", err=True)
    if len(bad) > TOLD:
        click.echo(f"… and {len(bad) - TOLD} more; the column `error` of the output names them all.", err=True)
    return counts


def _run(job: Job, waiting: Sequence[str], counts: Counts, label: str) -> list[tuple[str, str]]:
    """Have all of it done; the paths that could not be read, and why."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    chunks = _chunks(waiting, cores())
    rows = ray.data.from_items([{"paths": chunk} for chunk in chunks], override_num_blocks=len(chunks))
    work: Any = Recogniser  # Ray's types know functions only, not what makes one for each process
    results: Any = rows.map(work, fn_constructor_args=(job,), compute=ActorPoolStrategy(min_size=1), num_cpus=1)
    bad: list[tuple[str, str]] = []
    with click.progressbar(length=len(waiting), label=label, show_pos=True, file=sys.stderr) as bar:
        for result in results.iter_rows():
            bad += zip(result["bad"], result["codes"], strict=True)
            counts.done += result["done"]
            counts.bad = len(bad)
            bar.update(result["done"] + len(result["bad"]))
            _log(bar.pos, len(waiting), result["done"] + len(result["bad"]))
    return bad


def _log(done: int, of: int, new: int) -> None:
    """Where there is no terminal to draw a bar on: a line for every tenth."""
    if not sys.stderr.isatty() and done * 10 // of > (done - new) * 10 // of:
        click.echo(f"{done} of {of}", err=True)


def _chunks(waiting: Sequence[str], cores: int) -> list[list[str]]:
    least, most = PART_ROWS
    size = min(most, max(least, len(waiting) // (PARTS_A_CORE * cores)))
    return [list(waiting[start : start + size]) for start in range(0, len(waiting), size)]


def _absolute(parts: Parts) -> Parts:
    return parts if is_address(parts.place) else Parts(str(Path(parts.place).absolute()), parts.kind)


@ray.remote(num_cpus=0)
class _Claim:
    """Held while a run writes to an output; it ends with the run, however that ends."""


def _claim(parts: Parts) -> Any:  # noqa: ANN401 - Ray's handle
    """Keep all others on the cluster from writing there, and wait a while for one that was killed to be gone.

    Raises:
        OperatorError: another run goes on writing there.
    """
    name = f"classify-{hashlib.sha256(parts.place.encode()).hexdigest()}"
    end = time.monotonic() + _CLAIM_S
    while True:
        try:
            return _Claim.options(name=name).remote()  # type: ignore[attr-defined]
        except ValueError as error:
            if time.monotonic() > end:
                raise OperatorError(f"Another run is writing to {parts.place}: wait for it.") from error
            time.sleep(0.5)


def _mode(which: str) -> Mode:
    """The mode of that `model_id`, from this node's `models/`, for one thread. Raises ModelError."""
    settings = settings_of_a_core()
    key, version, _ = which.split("@")
    has_versions = key not in BUILT_IN and (settings.models_dir / key / version).is_dir()
    mode = served_mode(f"{key}@{version}" if has_versions else key, settings)
    if model_id(mode) != which:
        raise ModelError(f"{key} {version} is another on a node than here: all must see the same models.")
    return mode
