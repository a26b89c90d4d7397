"""What is asked and answered about corrections, as pydantic models; see `schemas`."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.web.schemas import NO_NUL, Confidence, Schema, Title


class CorrectionSent(BaseModel):
    """What `POST /corrections` takes, as a form or as JSON."""

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Of the answer.")]
    place: Annotated[int, Field(ge=0, le=63, description="Which picture of that request, from 0.")] = 0
    mode: Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]
    version: Annotated[
        str, Field(min_length=1, max_length=64, pattern=NO_NUL, description="The answer's `model.version`.")
    ]
    answer: Annotated[
        str,
        Field(min_length=1, max_length=200, pattern=NO_NUL, description="The label that was answered, or unknown."),
    ]
    confidence: Annotated[Confidence, Field(description="Of the best guess.")]
    sureness: Annotated[Confidence | None, Field(description="The answer's, by which a threshold is judged.")] = None
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
    mode: Annotated[str, Field(max_length=64, pattern=NO_NUL, description="Only this mode's.")] = ""
    after: Annotated[str, Field(max_length=200, pattern=NO_NUL, description="The `after` of the page before.")] = ""
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


class ModeCorrections(Schema):
    """A mode's corrections in figures. `pending`, `accepted`, `rejected`: entries of the queue."""

    mode: str
    title: Title
    pending: int
    accepted: int
    rejected: int
    new: Annotated[int, Field(description="Accepted with a picture that is there, and no version has learned it.")]
    version: Annotated[str | None, Field(description="The newest version; null where there are none.")]
    obstacle: Annotated[
        Literal["base", "gone", "no_photos"] | None,
        Field(
            description="Why it cannot be retrained: it is the base model, it is no longer there, or its active "
            "version does not say which photos it was made from (imported). Null: it can."
        ),
    ]
    job: Annotated[str | None, Field(description="The newest retraining that is remembered.")]


class CorrectionCounts(Schema):
    """The answer to `GET /api/corrections/counts`: every mode that has corrections."""

    worth_it: Annotated[int, Field(description="From so many new corrections on a training is worth its time.")]
    modes: list[ModeCorrections]


class Review(BaseModel):
    """What `POST /api/corrections/{correction_id}` takes."""

    action: Literal["accept", "relabel", "reject", "undo"]
    revision: Annotated[int, Field(ge=0)]
    label: Annotated[str | None, Field(max_length=1000, description="With relabel: the right name.")] = None


ANSWERS: tuple[type[Schema], ...] = (CorrectionSaved, TakenBack, QueueEntry, Queue, CorrectionCounts)
REQUESTS: tuple[type[BaseModel], ...] = (CorrectionSent, Review)
