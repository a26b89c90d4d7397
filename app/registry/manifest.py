"""`manifest.json`: all that a version says of itself."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.vision.transform import IMAGENET, Transform

MAX_KEY_LENGTH = 64

ScoreName = Literal["msp", "max_logit", "energy", "knn", "mahalanobis", "joint"]
HeadKind = Literal["linear", "neighbours"]
ViewsName = Literal["plain", "flip", "crops"]
"""How often, and in which views, an ensemble looks at a picture (`serving.ensemble`)."""


def is_key(text: str) -> bool:
    """Whether `text` may name a mode or a version: letters (Chinese too), digits, '_', '-' and '.', no leading mark."""
    return (
        0 < len(text) <= MAX_KEY_LENGTH
        and text[0].isalnum()
        and all(character.isalnum() or character in "_-." for character in text)
        and ".." not in text
    )


class Title(BaseModel):
    """A mode's name for people."""

    model_config = ConfigDict(frozen=True)

    en: str
    zh: str


class ManifestLabel(BaseModel):
    """One class, in both languages."""

    model_config = ConfigDict(frozen=True)

    label: Annotated[str, Field(min_length=1)]
    label_zh: str | None = None


class BackboneReference(BaseModel):
    """The network a head stands on. `fingerprint`: `vision.networks.fingerprint` of the weights it was trained with."""

    model_config = ConfigDict(frozen=True)

    name: str
    fingerprint: str
    tuned: bool = False


class ScoreReference(BaseModel):
    """What a mode goes by when it says "unknown" (`serving.score`): the score's name, and how it becomes a sureness.

    A score s is the sureness 1 / (1 + exp((centre - s) / scale)), except for `msp`, whose sureness is the calibrated
    probability itself. `neighbours`: which of the nearest photos counts, for `knn`.
    """

    model_config = ConfigDict(frozen=True)

    name: ScoreName = "msp"
    centre: float = 0.0
    scale: Annotated[float, Field(gt=0)] = 1.0
    neighbours: Annotated[int, Field(ge=1)] = 5


class MemberReference(BaseModel):
    """One member of an ensemble: what its own manifest said, its weight, and the version that it was made from.

    The weights of all members sum to 1. Its tensors are in the ensemble's file, under its number and a dot.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    weight: Annotated[float, Field(ge=0, le=1)]
    backbone: BackboneReference
    transform: Transform = IMAGENET
    head: HeadKind = "linear"
    neighbours: Annotated[int, Field(ge=1)] = 5
    temperature: Annotated[float, Field(gt=0)] = 1.0


class Manifest(BaseModel):
    """One version of a mode. `files` maps each tensor file to its SHA-256; `threshold` is on the score's sureness.

    `head`: a linear layer (`weight`, `bias`), or stored photos (`neighbours`, `labels`), the nearest of which vote.
    `neighbours` says how many. `probability_threshold`: what accepts as many known photos where only probabilities are
    at hand, as in an exported file. `accepted`: the share of known photos, held out, whose sureness reaches 0, 0.01, …
    1. `imported_from`: for a version made elsewhere, the file or version that it was. `members`: for an ensemble, whose
    `backbone`, `transform` and `head` are then a summary; it looks at a picture in `views`.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    mode: str
    version: str
    created: datetime
    title: Title
    labels: Annotated[list[ManifestLabel], Field(min_length=2)]
    backbone: BackboneReference
    transform: Transform = IMAGENET
    head: HeadKind = "linear"
    neighbours: Annotated[int, Field(ge=1)] = 5
    temperature: Annotated[float, Field(gt=0)] = 1.0
    members: list[MemberReference] = []
    views: ViewsName = "plain"
    score: ScoreReference = ScoreReference()
    threshold: Annotated[float, Field(ge=0, le=1)]
    probability_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    accepted: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=101, max_length=101)] | None = None
    metrics: dict[str, Any] = {}
    options: dict[str, Any] = {}
    data_fingerprint: str | None = None
    parent: str | None = None
    imported_from: str | None = None
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _names_are_sound(self) -> "Manifest":
        if not is_key(self.mode) or not is_key(self.version):
            raise ValueError("mode and version may hold letters, digits, '_', '-' and '.' only")
        names = [label.label for label in self.labels]
        if len(set(names)) != len(names):
            raise ValueError("a label stands twice")
        return self

    @model_validator(mode="after")
    def _weights_are_shares(self) -> "Manifest":
        if self.members and not math.isclose(sum(member.weight for member in self.members), 1, abs_tol=1e-6):
            raise ValueError("the weights of its members do not sum to 1")
        return self

    def of_member(self, number: int) -> "Manifest":
        """What the manifest of that member would be."""
        member = self.members[number]
        own = {name: getattr(member, name) for name in ("backbone", "transform", "head", "neighbours", "temperature")}
        return self.model_copy(update={**own, "members": [], "views": "plain"})
