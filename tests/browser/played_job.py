"""A job played by a test: its log is written line by line, as a command would write it."""

import fcntl
import json
from pathlib import Path
from uuid import uuid4

from app.registry import jobs
from app.registry.jobs import Job
from app.registry.state import now


class PlayedJob:
    """Runs until `end`, as far as anybody can tell."""

    def __init__(self, models_dir: Path, kind: jobs.Kind = "train", mode: str = "shapes") -> None:
        self.models_dir = models_dir
        self.job = Job(id=uuid4().hex[:16], kind=kind, mode=mode, arguments=["train"], started=now())
        self._folder = models_dir / ".jobs" / self.job.id
        self._folder.mkdir(parents=True)
        self._lock = (self._folder / ".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._write(self.job)

    @property
    def id(self) -> str:
        return self.job.id

    def tell(self, event: str, **values: object) -> None:
        """Write one event."""
        with jobs.log_of(self.models_dir, self.job).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"event": event, **values}, ensure_ascii=False) + "\n")

    def learn(self, epoch: int, loss: float, validation_loss: float | None, accuracy: float | None) -> None:
        """Write an epoch of the head, and its step."""
        self.tell(
            "epoch", stage="head", epoch=epoch, train_loss=loss, validation_loss=validation_loss,
            validation_accuracy=accuracy, learning_rate=0.01,
        )  # fmt: skip
        self.tell("step", done=epoch)

    def end(self, exit_status: int | None = 0, *, cancelled: bool = False, error: str = "") -> None:
        """Let go of it; `exit_status` None: it was killed."""
        if error:
            with jobs.log_of(self.models_dir, self.job).open("a", encoding="utf-8") as log:
                log.write(f"Error: {error}\n")
        ended = now() if exit_status is not None else None
        self._write(self.job.model_copy(update={"exit_status": exit_status, "ended": ended, "cancelled": cancelled}))
        self._lock.close()

    def _write(self, job: Job) -> None:
        (self._folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
