"""What is asked and answered about single versions, as pydantic models; see `schemas`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.web.schemas import Confidence, Schema

Name = Annotated[str, Field(min_length=1, max_length=64)]


class ThresholdOrder(BaseModel):
    """What `PUT /api/modes/{mode}/threshold` takes. `threshold`: null gives the version its own again."""

    model_config = ConfigDict(extra="forbid")

    version: Name
    threshold: Annotated[float, Field(ge=0, le=1)] | None
    why: Annotated[str, Field(max_length=500)] = ""


class CompareOrder(BaseModel):
    """What `POST /api/modes/{mode}/compare` takes: two versions of the mode."""

    model_config = ConfigDict(extra="forbid")

    first: Name
    second: Name


class KnownScores(Schema):
    """How the version did on the `n` known pictures that it was judged on, at thresholds from 0 to 1."""

    n: Annotated[int, Field(ge=1)]
    judged_on: Literal["test", "validation"]
    curve: Annotated[
        list[tuple[float, Confidence, Confidence | None]],
        Field(description="Threshold; share of the pictures that keep a name; share of those names that are right."),
    ]


class Scores(Schema):
    """The answer to `GET /api/modes/{mode}/versions/{version}/scores`.

    `known`: null where the version has no report. `unknown`: the confidences of answers that were none of the classes,
    as accepted corrections say.
    """

    mode: str
    version: str
    threshold: Confidence
    own_threshold: Confidence
    known: KnownScores | None
    unknown: list[Confidence]


ANSWERS: tuple[type[Schema], ...] = (Scores, KnownScores)
REQUESTS: tuple[type[BaseModel], ...] = (ThresholdOrder, CompareOrder)
