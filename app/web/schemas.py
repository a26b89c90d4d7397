"""The answers of the HTTP interface as pydantic models: `/openapi.json` is drawn from them, the tests check by them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from app.registry.library import ModeRecord, VersionRecord
from app.registry.manifest import ScoreName
from app.registry.state import Event

Confidence = Annotated[float, Field(ge=0, le=1)]
NO_NUL = r"^[^\x00]*$"
"""Neither a command line nor PostgreSQL takes the character 0."""
Share = Annotated[float, Field(ge=0, le=1)]


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


class GroupGuess(Schema):
    """The group that the classes speak for most. It is named where the mode is not sure of a class, and `confidence`,
    the sum of its classes', reaches both the answer's threshold and this `threshold`."""

    label: str
    label_zh: str
    confidence: Confidence
    threshold: Confidence


class Image(Schema):
    """The picture as a person sees it: after its EXIF orientation."""

    format: str
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Region(Schema):
    """A part of the upright picture, as shares of its width and height."""

    x: Share
    y: Share
    width: Share
    height: Share


class ClassMap(Schema):
    """Where a class was seen: the network's own coarse rows, from the top. The largest value is 255; all are 0 where
    nothing in the picture speaks for the class."""

    index: Annotated[int, Field(ge=0)]
    rows: list[list[Annotated[int, Field(ge=0, le=255)]]]


class Explanation(Schema):
    """Where the network looked (Grad-CAM): a map over `region` for each entry of `top`. It saw nothing outside it."""

    region: Region
    maps: list[ClassMap]


class Result(Schema):
    """One picture's answer. Below the threshold `unknown` is true, and `top` still lists what was seen; with groups=1
    it is false where a group is named instead: then `label…` and `confidence` are the group's."""

    filename: str | None
    unknown: bool
    label: str
    label_short: str
    label_zh: str
    confidence: Confidence
    sureness: Annotated[
        Confidence,
        Field(
            description="How sure the mode is that the picture shows one of its classes: what the threshold is "
            "compared with. For a mode whose score is msp, the confidence itself."
        ),
    ]
    top: list[Guess]
    image: Image
    level: Annotated[
        Literal["class", "group"] | None,
        Field(description="With groups=1 only: what `label` names; null where the answer is unknown."),
    ] = None
    group: Annotated[
        GroupGuess | None,
        Field(description="With groups=1 only: the best group; null for a mode whose classes are in no groups."),
    ] = None
    explanation: Annotated[Explanation | SkipJsonSchema[None], Field(description="With explain=1 only.")] = None


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


DatabaseState = Literal["answers", "away"]
StoreState = Annotated[
    Literal["answers", "away"] | None, Field(description="The store of MODELS_STORE; null where there is none.")
]
FolderState = Literal["readable", "unreadable"]


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
    score: Annotated[ScoreName, Field(description="What the sureness is drawn from.")]
    accepted: Annotated[
        list[Share] | None,
        Field(description="The share of known photos, held out, that a threshold of 0, 0.01, … 1 leaves their name."),
    ]
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
    refused: Annotated[dict[str, str], Field(description="Modes under models/ that cannot be served, with the reason.")]
    database: DatabaseState
    store: StoreState
    models_dir: FolderState


class Awaited(Schema):
    """One thing that is not ready. `name`: the mode's, for a mode."""

    what: Literal["mode", "decoder"]
    name: str | None
    why: str


class NotReadyYet(Problem):
    """A Problem that says what is not ready. The database, the store and `models_dir` make nobody wait."""

    waiting_for: list[Awaited]
    refused: dict[str, str]
    database: DatabaseState
    store: StoreState
    models_dir: FolderState


class RegisteredModes(Schema):
    """The answer to `GET /api/modes`."""

    modes: list[ModeRecord]


class History(Schema):
    """The changes of a mode, oldest first, until `at` where it is given; `served`: the one that put in place what
    served then, or serves now."""

    mode: str
    at: datetime | None
    served: Event | None
    history: list[Event]


class RollBack(Schema):
    """The body of a rollback. `to`: an earlier version; null: the one before the present one."""

    to: str | None = None
    why: Annotated[str, Field(max_length=500)] = ""


SCHEMAS: tuple[type[BaseModel], ...] = (
    Prediction, Problem, Modes, Alive, Ready, NotReadyYet, RegisteredModes, ModeRecord, VersionRecord, History,
    Event, RollBack,
)  # fmt: skip
