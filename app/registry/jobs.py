"""Long work that the server starts and does not do itself: `python -m app …` in a process group of its own.

A job is a folder, `<models_dir>/.jobs/<id>/`. It outlives the server that started it, for nothing about it is kept in
memory: it runs as long as somebody holds the lock in its folder, which the kernel lets go of however a process ends.
This file is also what looks after a job (`python -m app.registry.jobs`), so it imports next to nothing.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from app.errors import Conflict
from app.registry.files import write_file

Kind = Literal["promote", "retrain"]
Status = Literal["running", "done", "failed", "cancelled"]
Outcome = Literal["promoted", "kept", "not_enough_evidence"]

OUTCOMES: dict[int, Outcome] = {0: "promoted", 3: "kept", 4: "not_enough_evidence"}
"""What the exit status of a job that did its work says."""
MOST_KEPT = 100
"""Finished jobs; older ones are forgotten."""
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_FOLDER, _RECORD, _OUTPUT, _LOCK, _CANCELLED = ".jobs", "job.json", "output.log", ".lock", "cancelled"
_GRACE_S = 5.0


class JobRunning(Conflict):
    """Takes `mode`."""

    sentence_en = "Another job is at work on {mode}: wait for it, or cancel it."
    sentence_zh = "模式 {mode} 已有任务在运行：请等它结束，或先取消它。"


@dataclass(frozen=True, slots=True)
class _Record:
    """What `job.json` holds. `group`: the id of its processes' group."""

    id: str
    kind: Kind
    mode: str
    arguments: list[str]
    by: str
    created: str
    group: int | None = None
    ended: str | None = None
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is now. `outcome` is None until it is done; times are UTC, ISO 8601."""

    id: str
    kind: Kind
    mode: str
    by: str
    created: str
    ended: str | None
    status: Status
    outcome: Outcome | None


def start(models_dir: Path, kind: Kind, mode: str, arguments: Sequence[str], *, by: str) -> Job:
    """Start `python -m app ARGUMENTS…`, with this process's environment and no shell. One job at a time for each mode.

    Raises:
        JobRunning: one of that mode is running.
        OSError: the disk is full, or there can be no more processes.
    """
    with _only_one(models_dir):
        known = jobs(models_dir)
        if any(job.status == "running" and job.mode == mode for job in known):
            raise JobRunning(mode=mode)
        _forget(models_dir, known)
        moment = datetime.now(UTC)
        key = f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        folder = models_dir / _FOLDER / key
        folder.mkdir()
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _write(folder, _Record(key, kind, mode, list(arguments), by, _iso(moment)))
            _spawn(folder, lock)
    return _job(folder)


def jobs(models_dir: Path) -> list[Job]:
    """Every job that is known, the newest first."""
    folders = [path.parent for path in (models_dir / _FOLDER).glob(f"*/{_RECORD}") if _ID.fullmatch(path.parent.name)]
    return sorted((_job(folder) for folder in folders), key=lambda job: (job.created, job.id), reverse=True)


def read(models_dir: Path, key: str) -> Job | None:
    """The job of that id, None where there is none."""
    folder = _folder(models_dir, key)
    return _job(folder) if folder else None


def output(models_dir: Path, key: str, most: int = 8000) -> str:
    """The end of what the job has printed, at most so many bytes of it."""
    folder = _folder(models_dir, key)
    if folder is None:
        return ""
    with (folder / _OUTPUT).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        return file.read(most).decode("utf-8", "replace")


def cancel(models_dir: Path, key: str) -> Job | None:
    """End a job's processes, at once where they do not heed it; a job that has ended stays as it is."""
    with _only_one(models_dir):
        folder = _folder(models_dir, key)
        if folder is None or _job(folder).status != "running":
            return _job(folder) if folder else None
        (folder / _CANCELLED).touch()
        for means in (signal.SIGTERM, signal.SIGKILL):
            _end_group(folder, means)
            deadline = time.monotonic() + _GRACE_S
            while _is_locked(folder) and time.monotonic() < deadline:
                time.sleep(0.05)
        return _job(folder)


def _job(folder: Path) -> Job:
    locked = _is_locked(folder)  # first: whoever lets go of it has written the end before
    record = _read(folder)
    cancelled = (folder / _CANCELLED).exists()
    status: Status = "failed"
    if record.exit_status in OUTCOMES:
        status = "done"
    elif record.exit_status is None and locked:
        status = "running"
    elif cancelled:
        status = "cancelled"
    outcome = None if record.exit_status is None else OUTCOMES.get(record.exit_status)
    return Job(record.id, record.kind, record.mode, record.by, record.created, record.ended, status, outcome)


def _folder(models_dir: Path, key: str) -> Path | None:
    folder = models_dir / _FOLDER / key
    return folder if _ID.fullmatch(key) and (folder / _RECORD).is_file() else None


def _spawn(folder: Path, lock: IO[str]) -> None:
    """Start the process that looks after the job; it hands the work to a child and returns, so nobody must bury it."""
    from app.config import ROOT

    with (folder / _OUTPUT).open("ab") as log:
        subprocess.run(  # noqa: S603 - our own arguments, no shell
            [sys.executable, "-m", "app.registry.jobs", str(folder.resolve()), str(lock.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock.fileno()],
            start_new_session=True,
            check=False,
        )


def _look_after(folder: Path, lock: int) -> None:
    """Run the job to its end and write down how it ended. The lock is held by this process and by the work itself."""
    record = replace(_read(folder), group=os.getpgrp())
    _write(folder, record)
    if os.fork():
        os._exit(0)
    command = [sys.executable, "-m", "app", *record.arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, pass_fds=[lock], check=False)  # noqa: S603
    _write(folder, replace(record, ended=_iso(datetime.now(UTC)), exit_status=done.returncode))


def _end_group(folder: Path, means: signal.Signals) -> None:
    group = _read(folder).group
    if group and _is_locked(folder):  # while somebody of it holds the lock, the number is no one else's
        try:
            os.killpg(group, means)
        except ProcessLookupError:
            return


def _is_locked(folder: Path) -> bool:
    """Whether a process of the job lives. Readers share the lock, so they do not take each other for it."""
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextmanager
def _only_one(models_dir: Path) -> Iterator[None]:
    """Within it no other process starts or cancels a job here."""
    folder = models_dir / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget(models_dir: Path, known: Sequence[Job]) -> None:
    ended = [job for job in known if job.status != "running"]
    for job in ended[MOST_KEPT - 1 :]:
        shutil.rmtree(models_dir / _FOLDER / job.id, ignore_errors=True)


def _read(folder: Path) -> _Record:
    return _Record(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))


def _write(folder: Path, record: _Record) -> None:
    write_file(folder / _RECORD, json.dumps(asdict(record), ensure_ascii=False, indent=1) + "\n")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


if __name__ == "__main__":
    _look_after(Path(sys.argv[1]), int(sys.argv[2]))
