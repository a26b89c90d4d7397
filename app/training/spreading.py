"""`compare` and `train --search` on a cluster. Only --ray imports this file.

All nodes must see the photos at the same place, and each has its own settings.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.cluster.session import cores, joined
from app.cluster.tasks import begin, failures, settings_of_a_core, spread
from app.errors import DataError
from app.training.comparison import Row, Run, Workbench, told
from app.training.order import Order
from app.training.progress import SILENT, Progress
from app.training.run import help_search
from app.training.study import NothingToJoin

_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """One row of a comparison with one seed."""

    row: str
    seed: int
    data: Path
    test_share: float


def compare_on(
    address: str, names: Sequence[str], seeds: int, data: Path, test_share: float, say: Callable[[str], None]
) -> list[Row]:
    """As `comparison.compare`, but that each row with each seed runs on a core of the cluster at `address`."""
    pieces = [_Piece(name, seed, data.absolute(), test_share) for name in names for seed in range(seeds)]
    runs: dict[int, Run] = {}
    with joined(address):
        for place, run in spread(_run, pieces):
            runs[place] = run
            say(told(pieces[place].row, pieces[place].seed, run))
    return [Row(name, tuple(runs[place * seeds + seed] for seed in range(seeds))) for place, name in enumerate(names)]


def _run(piece: _Piece) -> Run:
    with tempfile.TemporaryDirectory(prefix="wanwu-compare-") as folder:
        bench = Workbench(Path(folder), settings_of_a_core(), piece.data, piece.test_share, say=lambda line: None)
        return bench.run(piece.row, piece.seed)


@contextmanager
def helpers(address: str, order: Order, progress: Progress) -> Iterator[None]:
    """Within the block every core of the cluster helps the search of `order`, which has a `study` that all reach.

    A helper that fails costs its help; the block goes on, and what was wrong is said at its end.
    """
    if order.search is None or order.search.study is None or order.search.join or not isinstance(order.source, Path):
        raise DataError(
            "--ray spreads a search: it needs --search MINUTES and --study, a database that all nodes reach."
        )
    order = replace(
        order,
        source=order.source.absolute(),
        unknown=tuple(folder.absolute() for folder in order.unknown),
        search=replace(order.search, join=True),
    )
    with joined(address):
        started = begin(_help, [order] * cores())
        progress.say(f"{len(started)} cores of the cluster help.", f"集群中的 {len(started)} 个核心参与搜索。")
        yield
        for error in failures(started):
            progress.say(f"A helper failed: {error}", f"有一个协助进程失败：{error}")


def _help(order: Order) -> None:
    """Join the search once it has begun; return when it is over."""
    minutes = order.search.minutes if order.search else 0.0
    end = time.monotonic() + 60 * minutes
    while True:
        try:
            help_search(order, settings_of_a_core(), SILENT)
        except NothingToJoin:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
