"""A change that fails or is killed at any step leaves the old version active or the new one, whole, and says which."""

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from app.errors import ModelError
from app.registry.state import STATE, complete_versions, now, read_state
from app.registry.versions import read_version
from tests.conftest import ROOT, write_head
from tests.crashing import ACTIONS, DIED, DONE, Base, interrupted

MOST_STEPS = 60


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A mode with v1 active and v2 beside it."""
    models = tmp_path / "before"
    for version in ("v1", "v2"):
        write_head(models, "birds", Base, ["owl", "kite"], version=version)
    return models


def check_whole(models: Path, action: str) -> str | None:
    """What is active after a crash: it loads, nothing beside it is half there, and the history agrees with it."""
    folder = models / ("fish" if action == "first" else "birds")
    for version in complete_versions(folder):
        read_version(folder / version)
    shown = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
    assert shown - {STATE} == set(complete_versions(folder)), "no version is half there"
    state = read_state(folder)
    if state.active is None:
        assert action == "first"
        assert shown == set()
        return None
    served = state.served_at(now())
    assert served is not None
    assert served.version == state.active
    deleted = {event.version for event in state.history if event.action == "delete"}
    assert not deleted & set(complete_versions(folder))
    return state.active


def check_after(models: Path, action: str) -> None:
    """Whatever was left is no hindrance: the same change goes through, and the next one has swept up."""
    try:
        ACTIONS[action](models)
    except ModelError as error:
        assert "exists already" in str(error)  # it was written before the crash
    except Exception as error:
        assert action == "delete"
        assert "no version" in str(error)
    check_whole(models, action)
    folder = models / ("fish" if action == "first" else "birds")
    write_head(models, folder.name, Base, ["owl", "kite"], version="v9")
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == {".lock"}


ACTIVE = {"first": {None, "v1"}, "write": {"v1"}, "promote": {"v1", "v2"}, "delete": {"v1"}}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", list(ACTIONS))
def test_an_error_at_any_step_leaves_the_old_or_the_new(before: Path, tmp_path: Path, action: str, when: str) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    seen = set()
    for step in range(MOST_STEPS):
        models = tmp_path / f"at-{step}"
        shutil.copytree(before, models)
        failed = False
        with interrupted(step, fail, after=when == "after") as made:
            try:
                ACTIONS[action](models)
            except OSError:
                failed = True
        seen.add(check_whole(models, action))
        if not failed and len(made) <= step:
            break
        check_after(models, action)
    else:
        pytest.fail("it never came to an end")
    assert step > 5
    assert seen == ACTIVE[action]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", list(ACTIONS))
def test_a_kill_at_any_step_leaves_the_old_or_the_new(before: Path, tmp_path: Path, action: str, when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crashing", action, str(tmp_path), str(MOST_STEPS), when],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    ends = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert set(ends[:-1]) == {DIED}
    assert ends[-1] == DONE
    assert len(ends) > 5
    seen = set()
    for step in range(len(ends)):
        models = tmp_path / f"{action}-{when}-{step}"
        seen.add(check_whole(models, action))
        check_after(models, action)
    assert seen == ACTIVE[action]


def test_two_processes_that_promote_at_once_are_both_written_down(before: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.registry.state import activate\n"
        "for number in range(25):\n"
        "    activate(Path(sys.argv[1]), sys.argv[2], action='promote', by=f'{sys.argv[2]} {number}', why='')"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(before / "birds"), version], cwd=ROOT)
        for version in ("v1", "v2")
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    history = read_state(before / "birds").history
    assert sorted(event.by for event in history[1:]) == sorted(f"{v} {n}" for v in ("v1", "v2") for n in range(25))
    for earlier, later in pairwise(history):
        assert later.before == earlier.version, "each saw the one before it"
        assert later.at >= earlier.at
    assert read_state(before / "birds").active == history[-1].version
