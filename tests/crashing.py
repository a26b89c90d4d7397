"""Changes of a mode that end at their n-th step, for test_crash.py: `python -m tests.crashing ACTION FOLDER STEP`.

A step is a call by which the registry touches the disk. The process ends itself there as a kill would, before or after
the call; where the change is over sooner, it says so by its exit status.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.registry.library import delete_version
from app.registry.state import activate
from tests.conftest import write_head

DIED, DONE = 41, 42
STEPS = (
    (os, "fsync"), (os, "open"), (os, "fdopen"), (os, "mkdir"), (os, "rename"), (os, "replace"), (os, "unlink"),
    (os, "chmod"), (Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "write_bytes"),
    (Path, "chmod"), (shutil, "rmtree"),
)  # fmt: skip


class Base:
    """Stands in for the base mode where only its backbone's name and width matter."""

    class backbone:  # noqa: N801
        from app.vision.transform import IMAGENET as transform  # noqa: N811

        name, fingerprint, width = "resnet18", "f" * 64, 8


ACTIONS: dict[str, Callable[[Path], object]] = {
    "first": lambda models: write_head(models, "fish", Base, ["cod", "eel"], version="v1"),
    "write": lambda models: write_head(models, "birds", Base, ["owl", "kite"], version="v3"),
    "promote": lambda models: activate(models / "birds", "v2", action="promote", by="a test", why="better"),
    "delete": lambda models: delete_version(models, "birds", "v2", by="a test"),
}


@contextmanager
def interrupted(step: int, how: Callable[[], None], *, after: bool = False) -> Iterator[list[str]]:
    """Within it the `step`-th call of `STEPS` (from 0) is preceded by `how`, or followed; yields the calls made."""
    made: list[str] = []
    kept = [(owner, name, getattr(owner, name)) for owner, name in STEPS]

    def patched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        if after and name in ("open", "fdopen"):  # what was opened would only leak
            return call

        def stand_in(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            mine = len(made) - 1 == step
            if mine and not after:
                how()
            result = call(*arguments, **named)
            if mine and after:
                how()
            return result

        return stand_in

    for owner, name, call in kept:
        setattr(owner, name, patched(name, call))
    try:
        yield made
    finally:
        for owner, name, call in kept:
            setattr(owner, name, call)


def main(action: str, folder: str, steps: str, when: str) -> None:
    """Each of the steps in a child of its own, each with a copy of the models in `FOLDER/before`."""
    for step in range(int(steps)):
        models = Path(folder) / f"{action}-{when}-{step}"
        shutil.copytree(Path(folder) / "before", models)
        child = os.fork()
        if child == 0:
            with interrupted(step, lambda: os._exit(DIED), after=when == "after"):
                ACTIONS[action](models)
            os._exit(DONE)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(step, status, flush=True)
        if status == DONE:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
