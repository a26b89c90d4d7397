"""The answers of the HTTP interface as pydantic models: `/openapi.json` is drawn from them, the tests check by them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Confidence = Annotated[float, Field(ge=0, le=1)]


class Schema(BaseModel):
    """No member that is not described."""

    model_config = ConfigDict(extra="forbid")


class Model(Schema):
    """Which model answered."""

    name: str
    version: str
    sha256: str
    precision: Literal["float32", "bfloat16", "int8"]
    origin: Annotated[str, Field(description="Where its weights were found: setting, models, hub_cache or package.")]


class Guess(Schema):
    """One class the model saw, with its confidence."""

    index: Annotated[int, Field(ge=0)]
    label: Annotated[str, Field(description="The class's own name; for imagenet, torchvision's.")]
    label_short: Annotated[str, Field(description="A short clear English name where the own name is ambiguous.")]
    label_zh: str
    group: str | None
    group_zh: str | None
    confidence: Confidence


class Image(Schema):
    """The picture as a person sees it: after its EXIF orientation."""

    format: str
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Result(Schema):
    """One picture's answer. Below the threshold `unknown` is true, and `top` still lists what was seen."""

    filename: str | None
    unknown: bool
    label: str
    label_short: str
    label_zh: str
    confidence: Confidence
    top: list[Guess]
    image: Image


class ResultError(Schema):
    """Why one picture could not be read."""

    code: str
    detail: str


class FailedResult(Schema):
    """A picture that could not be read, among others that were."""

    filename: str | None
    error: ResultError


class Timing(Schema):
    """Milliseconds by stage; with several pictures, of the slowest one."""

    decode: float
    queue: float
    infer: float
    total: float


class Prediction(Schema):
    """The answer to `POST /predict`."""

    request_id: str
    mode: str
    threshold: Confidence
    model: Model
    results: list[Result | FailedResult]
    timing_ms: Timing


class Problem(Schema):
    """RFC 9457, with a stable `code`."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None


class Title(Schema):
    """A mode's name for people."""

    en: str
    zh: str


class ModeLabel(Schema):
    """One class of a mode."""

    label: str
    label_short: str
    label_zh: str


class ServedMode(Schema):
    """A mode that can be asked."""

    key: str
    title: Title
    labels: list[ModeLabel]
    threshold: Confidence
    model: Model
    available: Literal[True]
    reason: None


class RefusedMode(Schema):
    """A mode under `models/` that cannot be served, and why."""

    key: str
    available: Literal[False]
    reason: str


class Modes(Schema):
    """The answer to `GET /modes`."""

    default: str
    modes: list[ServedMode | RefusedMode]


class Alive(Schema):
    """The answer to `GET /livez`."""

    status: Literal["alive"]


class Ready(Schema):
    """The answer to `GET /readyz`."""

    status: Literal["ready"]
    model: Model
    modes: list[str]
    refused: dict[str, str]


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


SCHEMAS: tuple[type[Schema], ...] = (Prediction, Problem, Modes, Alive, Ready, TrialOrder, TrialEnd, TrialReport)
