"""What is asked and answered about jobs, as pydantic models; see `schemas`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.web.schemas import Schema

Why = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$", description="A word for the history.")]


class PromoteOrder(Schema):
    """What `POST /api/modes/{mode}/promote` takes."""

    version: str
    force: Annotated[bool, Field(description="Promote whatever the comparison says; the history records it.")] = False
    why: Why = ""


class RetrainOrder(Schema):
    """What `POST /api/modes/{mode}/retrain` may take."""

    why: Why = ""


class JobFacts(Schema):
    """Work that goes on by itself, whatever becomes of the server. `outcome`: what was decided, once it is done."""

    id: str
    kind: Literal["promote", "retrain"]
    mode: str
    by: str
    created: datetime
    ended: datetime | None
    status: Literal["running", "done", "failed", "cancelled"]
    outcome: Literal["promoted", "kept", "not_enough_evidence"] | None


class JobStarted(Schema):
    """The answer to an order."""

    job: JobFacts


class JobDetail(JobFacts):
    """One job, with the end of what it has printed."""

    output: str


class Jobs(Schema):
    """The answer to `GET /api/jobs`: the newest first."""

    jobs: list[JobFacts]


ANSWERS: tuple[type[Schema], ...] = (JobStarted, JobDetail, Jobs)
REQUESTS: tuple[type[Schema], ...] = (PromoteOrder, RetrainOrder)
