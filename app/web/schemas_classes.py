"""What is answered when a class is added to a mode, as pydantic models; see `schemas`."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.web.schemas import Schema

_Count = Annotated[int, Field(ge=0)]


class LeftOutPhoto(Schema):
    """A photo that was not used, and why, in both languages."""

    name: str
    en: str
    zh: str


class OldAnswersShown(Schema):
    """Photos of the other classes that the version has not learned from, as the version before and this one answer."""

    part: Annotated[str, Field(description="Of the version's photos: test or validation.")]
    judged: _Count
    changed: Annotated[_Count, Field(description="How many are answered differently now.")]
    lost: Annotated[_Count, Field(description="How many of these had been right.")]


class AddedClass(Schema):
    """The answer to `POST /api/modes/{mode}/classes`: the new version, and what came of it."""

    mode: str
    version: str
    parent: Annotated[str, Field(description="The version that it was made from.")]
    label: str
    photos: Annotated[_Count, Field(description="How many were used.")]
    left_out: list[LeftOutPhoto]
    weighed: Annotated[_Count, Field(description="Photos of the other classes that the new one was weighed against.")]
    right: Annotated[_Count, Field(description="New photos answered right, each by what the others teach.")]
    named: Annotated[_Count, Field(description="How many of these are not called unknown.")]
    old: OldAnswersShown | None
    seconds: float
    active: Annotated[bool, Field(description="Whether it serves now.")]


ANSWERS: tuple[type[Schema], ...] = (AddedClass, LeftOutPhoto, OldAnswersShown)
REQUESTS: tuple[type[BaseModel], ...] = ()
