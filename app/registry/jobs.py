"""Long work outside of the server: a command in a process of its own, which goes on where the server restarts.

A job is a folder, `<models_dir>/.jobs/<id>/`: what it is (`job.json`), the answer of its command (`result.json`), and
what that said meanwhile (`output.log`). Its process holds the folder's lock, which the kernel lets go of with it: a job
without an end whose lock is free was killed.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ValidationError

from app.config import ROOT, names_a_store, read_settings
from app.errors import Conflict, NotFound
from app.registry.files import write_file
from app.registry.job_book import BEAT_S, JobBook, book_of, open_book
from app.registry.job_log import failure_in, words_of
from app.registry.manifest import is_key
from app.registry.state import now

KEPT = 50
"""So many jobs are remembered; older ones are forgotten as a new one starts."""
TAIL = 4000
"""Characters of a job's output that are shown, the last ones."""
_JOB, _RESULT, _OUTPUT, _LOCK, _PROCESS = "job.json", "result.json", "output.log", ".lock", "process"

Kind = Literal["train", "retrain", "promote", "compare", "export"]
_DYING_S = 5.0
"""How long a cancelled job is waited for: at idle priority even dying takes its time."""
FILES = "{files}"
"""As an argument: the folder for what the command writes, `files` in the job's own."""


class JobBusy(Conflict):
    """Takes `mode`."""

    sentence_en = "Another job is at work on the mode {mode}: wait for it, or cancel it."
    sentence_zh = "模式 {mode} 正有另一项任务在进行，请等待其完成或先取消。"


class Job(BaseModel):
    """One job. `exit_status`: of its command; None while it runs, or where it was killed."""

    id: str
    kind: Kind
    mode: str
    arguments: list[str]
    started: datetime
    ended: datetime | None = None
    exit_status: int | None = None
    cancelled: bool = False


def start(models_dir: Path, kind: Kind, mode: str, arguments: list[str]) -> Job:
    """Run `python -m app ARGUMENTS…` in a session of its own.

    Raises:
        JobBusy: another job of this mode runs, here or at another site. NotSaved: there are several sites, and their
        database does not answer.
    """
    jobs = models_dir / ".jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    with (jobs / _LOCK).open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        check_free(models_dir, mode)
        _forget(models_dir)
        job = Job(id=secrets.token_hex(8), kind=kind, mode=mode, arguments=arguments, started=now())
        _enter(models_dir, job)
        folder = jobs / job.id
        folder.mkdir()
        _spawn(folder, job)
    return job


def check_free(models_dir: Path, mode: str) -> None:
    """Raises JobBusy where a job of this mode runs."""
    if any(job.mode == mode and state_of(models_dir, job) == "running" for job in list_jobs(models_dir)):
        raise JobBusy(mode=mode)


def _enter(models_dir: Path, job: Job) -> None:
    """Where there are several sites, let them know of the job before it begins."""
    book = book_of(models_dir)
    if book is None:
        return
    over = [one.id for one in list_jobs(models_dir) if state_of(models_dir, one) != "running"]
    if not book.enter(job.id, job.mode, job.started, _about(job), over=over):
        raise JobBusy(mode=job.mode)


def _spawn(folder: Path, job: Job) -> None:
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the children inherit the file, and with it the lock
        _write(folder, job)
        process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            [sys.executable, "-m", "app.registry.jobs", str(folder.resolve()), str(lock.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    write_file(folder / _PROCESS, str(process.pid))
    threading.Thread(target=process.wait, name="job", daemon=True).start()  # so that it leaves no zombie


def read_job(models_dir: Path, id_: str) -> Job:
    """The job of that id.

    Raises:
        NotFound: there is none.
    """
    try:
        if not is_key(id_):
            raise NotFound
        return Job.model_validate_json((models_dir / ".jobs" / id_ / _JOB).read_bytes())
    except (OSError, ValidationError) as error:
        raise NotFound from error


def list_jobs(models_dir: Path) -> list[Job]:
    """All that are remembered, the newest first."""
    jobs = []
    for path in (models_dir / ".jobs").glob(f"*/{_JOB}"):
        with suppress(NotFound):
            jobs.append(read_job(models_dir, path.parent.name))
    return sorted(jobs, key=lambda job: job.started, reverse=True)


def state_of(models_dir: Path, job: Job) -> Literal["running", "done", "failed", "cancelled"]:
    """What has become of a job; one whose process was killed has failed."""
    if job.exit_status is None:
        if _is_locked(models_dir / ".jobs" / job.id):
            return "running"
        job = read_job(models_dir, job.id)  # its end was written down before the lock was let go of
    if job.cancelled:
        return "cancelled"
    return "failed" if job.exit_status in (None, 1, 2) or (job.exit_status or 0) < 0 else "done"


def described(models_dir: Path, job: Job) -> dict[str, Any]:
    """A job for programs: what it is, what has become of it, its answer, and the end of its output.

    `error`: why it failed, for people, where its command could say.
    """
    folder, state = models_dir / ".jobs" / job.id, state_of(models_dir, job)
    job = read_job(models_dir, job.id)
    result = None
    with suppress(OSError, ValueError):
        result = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    said = words_of(log_of(models_dir, job))
    error = failure_in(said, models_dir) if state == "failed" else None
    return {**_about(job), "state": state, "result": result, "error": error, "output": "\n".join(said)[-TAIL:]}


def _about(job: Job) -> dict[str, Any]:
    about = job.model_dump(mode="json", include={"id", "kind", "mode", "started", "ended", "exit_status"})
    return {**about, "state": "running", "result": None, "error": None, "output": ""}


def log_of(models_dir: Path, job: Job) -> Path:
    """What its command says of itself while it runs; see `job_log`."""
    return models_dir / ".jobs" / job.id / _OUTPUT


def files_of(models_dir: Path, job: Job) -> list[Path]:
    """What the command wrote, once it is done.

    Raises:
        NotFound: nothing, or it is not done.
    """
    folder = models_dir / ".jobs" / job.id / "files"
    if state_of(models_dir, job) != "done" or not folder.is_dir():
        raise NotFound
    return sorted(folder.iterdir())


def cancel(models_dir: Path, job: Job) -> None:
    """End a job that runs, with all its processes; one that has ended stays as it is."""
    folder = models_dir / ".jobs" / job.id
    if state_of(models_dir, job) != "running":
        return
    _write(folder, job.model_copy(update={"cancelled": True}))
    with suppress(ProcessLookupError, FileNotFoundError):
        # Whatever is half-written stands aside, and is swept by the next run.
        os.killpg(int((folder / _PROCESS).read_text()), signal.SIGKILL)
    deadline = time.monotonic() + _DYING_S
    while _is_locked(folder) and time.monotonic() < deadline:  # so that the mode is free for the next job
        time.sleep(_DYING_S / 100)
    book = book_of(models_dir)
    if book is not None:
        book.tell(job.id, described(models_dir, job), is_over=True)


def _supervise(folder: Path, lock: int) -> None:
    """In the job's own process: run the command, which holds the lock, too, and write down how it ended."""
    _step_back()
    job = Job.model_validate_json((folder / _JOB).read_bytes())
    book = open_book(read_settings()) if names_a_store() else None
    with (folder / _RESULT).open("wb") as result, (folder / _OUTPUT).open("wb") as output:
        arguments = [str(folder / "files") if argument == FILES else argument for argument in job.arguments]
        command = [sys.executable, "-m", "app", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=result, stderr=output, pass_fds=[lock])  # noqa: S603
        status = _wait(process, folder, job, book)
    _write(folder, job.model_copy(update={"exit_status": status, "ended": now()}))
    if book is not None:
        book.tell(job.id, described(folder.parent.parent, read_job(folder.parent.parent, job.id)), is_over=True)


def _wait(process: "subprocess.Popen[bytes]", folder: Path, job: Job, book: JobBook | None) -> int:
    """Until the command ends; where there are other sites, let them know how it goes, and end it where they want to."""
    models_dir = folder.parent.parent
    while True:
        try:
            return process.wait(None if book is None else BEAT_S)
        except subprocess.TimeoutExpired:
            if book is not None and book.tell(job.id, described(models_dir, job)):
                _write(folder, job.model_copy(update={"cancelled": True}))
                book.tell(job.id, {**described(models_dir, job), "state": "cancelled"}, is_over=True)
                os.killpg(0, signal.SIGKILL)  # this process too: the session is the job's own


def _step_back() -> None:
    """Let whatever else wants the processor have it: this process, and those that it starts, take what is left over."""
    with suppress(OSError):
        os.nice(19)
    with suppress(OSError, AttributeError):  # Linux alone has it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):  # Linux may weigh a whole session at once, and forget what its processes wish for
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def _is_locked(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open() as lock:
            return not _locks(lock)
    except FileNotFoundError:
        return False


def _locks(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _forget(models_dir: Path) -> None:
    """Make room for one more."""
    for job in list_jobs(models_dir)[KEPT - 1 :]:
        if state_of(models_dir, job) != "running":
            shutil.rmtree(models_dir / ".jobs" / job.id, ignore_errors=True)


def _write(folder: Path, job: Job) -> None:
    write_file(folder / _JOB, job.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]), int(sys.argv[2]))
