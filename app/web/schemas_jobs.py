"""What is asked and answered about jobs, as pydantic models; see `schemas`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.web.schemas import NO_NUL, Schema


class RetrainingOrder(BaseModel):
    """What `POST /api/modes/{mode}/retrain` may take."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[str, Field(max_length=500, pattern=NO_NUL)] = ""


class PromotionOrder(RetrainingOrder):
    """What `POST /api/modes/{mode}/promote` takes."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
    force: Annotated[bool, Field(description="Promote whatever the comparison says; the history records it.")] = False


class ExportOrder(BaseModel):
    """What `POST /api/modes/{mode}/export` may take. `version`: null, the active one."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    format: Literal["torchscript", "onnx", "int8", "dynamic"] = "torchscript"


class StartedJob(Schema):
    """A job: work in a process of its own. `exit_status`: 0 done or promoted, 3 kept, 4 not enough evidence."""

    id: str
    kind: Literal["train", "retrain", "promote", "compare", "export"]
    mode: str
    started: str
    ended: str | None
    exit_status: int | None
    state: Literal["running", "done", "failed", "cancelled"]
    result: Annotated[dict[str, Any] | None, Field(description="What the command prints with --json.")]
    error: Annotated[str | None, Field(description="Why it failed, in one sentence, where that is known.")]
    output: Annotated[str, Field(description="The end of what it said meanwhile.")]


class Jobs(Schema):
    """The answer to `GET /api/jobs`."""

    jobs: list[StartedJob]


ANSWERS: tuple[type[Schema], ...] = (StartedJob, Jobs)
REQUESTS: tuple[type[BaseModel], ...] = (RetrainingOrder, PromotionOrder, ExportOrder)
