"""The answers of the HTTP interface as pydantic models: `/openapi.json` is drawn from them, the tests check by them."""

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


class CorrectionSent(BaseModel):
    """What `POST /corrections` takes, as a form or as JSON."""

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Of the answer.")]
    place: Annotated[int, Field(ge=0, le=63, description="Which picture of that request, from 0.")] = 0
    mode: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[str, Field(min_length=1, max_length=64, description="The answer's `model.version`.")]
    answer: Annotated[str, Field(min_length=1, max_length=200, description="The label that was answered, or unknown.")]
    confidence: Confidence
    kind: Annotated[
        Literal["label", "new", "none"] | None,
        Field(
            description="One of the mode's labels, a new one, or none of these. Left out: what `label` turns out as."
        ),
    ] = None
    label: Annotated[str | None, Field(max_length=1000, description="The right name, in either language.")] = None
    keep: Annotated[bool, Field(description="Whether the person agrees that the picture is kept.")] = False


class CorrectionSaved(Schema):
    """The answer to `POST /corrections`. Whoever knows `id` may take it back."""

    id: str
    status: Literal["pending", "accepted", "rejected"]
    kind: Literal["label", "new", "none"]
    label: str | None
    label_short: str | None
    label_zh: str | None
    picture: Annotated[
        Literal["kept", "not_agreed", "not_kept_here", "none_sent"],
        Field(description="not_agreed: `keep` was not set; not_kept_here: the server keeps no pictures (KEEP_IMAGES)."),
    ]


class TakenBack(Schema):
    """The answer to `POST /corrections/{correction_id}/undo`."""

    id: str
    status: Literal["taken_back"]


class QueueAsked(BaseModel):
    """What `GET /api/corrections` may be asked."""

    status: Literal["pending", "accepted", "rejected"] = "pending"
    mode: Annotated[str, Field(max_length=64, description="Only this mode's.")] = ""
    after: Annotated[str, Field(max_length=200, description="The `after` of the page before.")] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class QueueEntry(Schema):
    """Corrections of one picture, or of pictures that look the same: the earliest of them, and their `count`."""

    id: str
    mode: str
    version: str
    answer: str
    confidence: Confidence
    kind: Literal["label", "new", "none"]
    label: str | None
    status: Literal["pending", "accepted", "rejected"]
    final_label: str | None
    reviewer: str | None
    count: Annotated[int, Field(ge=1)]
    created: str
    reviewed: str | None
    revision: Annotated[int, Field(ge=0, description="To be sent back with a review.")]
    used_by: Annotated[str | None, Field(description="The version that learned from it.")]
    picture: Annotated[str | None, Field(description="Where the picture is, if it is kept.")]


class Queue(Schema):
    """The answer to `GET /api/corrections`."""

    entries: list[QueueEntry]
    total: int
    after: str | None


class Review(BaseModel):
    """What `POST /api/corrections/{correction_id}` takes."""

    action: Literal["accept", "relabel", "reject", "undo"]
    revision: Annotated[int, Field(ge=0)]
    label: Annotated[str | None, Field(max_length=1000, description="With relabel: the right name.")] = None


SCHEMAS: tuple[type[Schema], ...] = (
    Prediction, Problem, Modes, Alive, Ready, CorrectionSaved, TakenBack, QueueEntry, Queue,
)  # fmt: skip
REQUESTS: tuple[type[BaseModel], ...] = (CorrectionSent, Review)
