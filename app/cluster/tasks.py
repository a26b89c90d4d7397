"""Work that falls into pieces, a piece to a core of the cluster."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from app.cluster.session import ours
from app.config import Settings, read_settings
from app.registry.following import Follower

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")
_RETRIES = 3
"""So often is a piece done again, elsewhere, where the machine or the process that had it died."""


def begin(work: Callable[[_Piece], Any], pieces: Sequence[_Piece]) -> list["ray.ObjectRef[Any]"]:
    """Start all pieces, each as soon as a core is free. Within `session.joined`."""
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(work)
    return [task.remote(piece) for piece in pieces]


def spread(work: Callable[[_Piece], _Result], pieces: Sequence[_Piece]) -> Iterator[tuple[int, _Result]]:
    """The results as they come, each with its piece's place. Within `session.joined`; raises what `work` raises."""
    waiting = {reference: place for place, reference in enumerate(begin(work, pieces))}
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        yield waiting.pop(ready), ray.get(ready)


def failures(started: list["ray.ObjectRef[Any]"]) -> list[Exception]:
    """What those raised that have ended by now, in our words."""
    ended, _ = ray.wait(started, num_returns=len(started), timeout=0)
    found = []
    for reference in ended:
        try:
            ray.get(reference)
        except RayError as error:
            found.append(ours(error))
    return found


def settings_of_a_core() -> Settings:
    """Those of the node that a piece runs on, for its one core; `models/` there is made as the store has it, if any."""
    settings = read_settings()
    Follower(settings).once()  # as every command does
    return settings.model_copy(update={"torch_threads": 1})
