"""What is asked and answered about trials, as pydantic models; see `schemas`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.web.schemas import Confidence, Schema


class TrialOrder(Schema):
    """What `PUT /api/modes/{mode}/trial` takes."""

    version: str
    kind: Literal["split", "shadow"]
    share: Annotated[
        float, Field(gt=0, le=1, description="The share of callers that a split gives to the version.")
    ] = 0.1
    why: Annotated[str, Field(max_length=500)] = ""


class TrialEnd(Schema):
    """What `DELETE /api/modes/{mode}/trial` may take."""

    why: Annotated[str, Field(max_length=500)] = ""


class RunningTrial(Schema):
    """A second version beside the active one."""

    version: str
    kind: Literal["split", "shadow"]
    share: Annotated[float, Field(gt=0, le=1)]
    since: datetime


class VersionFigures(Schema):
    """What was counted for one version, by whole days (UTC), up to a few seconds ago."""

    version: str
    role: Annotated[str, Field(description="active (alone, or with a shadow), split, or shadow.")]
    pictures: int
    unknown: int
    unknown_rate: Confidence | None
    errors: int
    compared: Annotated[int, Field(description="Pictures that this shadow saw along with the active version.")]
    agreed: int
    agreement: Confidence | None
    mean_infer_ms: float | None
    corrections: int


class TrialReport(Schema):
    """The answer of `/api/modes/{mode}/trial`. `refused`: why a trial that should run cannot be loaded here."""

    mode: str
    active: str | None
    trial: RunningTrial | None
    versions: list[VersionFigures]
    refused: str | None


ANSWERS: tuple[type[Schema], ...] = (TrialReport,)
REQUESTS: tuple[type[BaseModel], ...] = (TrialOrder, TrialEnd)
