"""What is asked and answered about albums, as pydantic models; see `schemas`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.web.schemas import Schema

_Text = Annotated[str, Field(max_length=1000)]
PhotoId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAlbum(_Body):
    """What `POST /api/albums` takes. One title may be left out; `key`: null, made of the English title."""

    title_en: _Text = ""
    title_zh: _Text = ""
    key: Annotated[str | None, Field(max_length=64)] = None


class AlbumTitles(_Body):
    """What `PATCH /api/albums/{key}` takes; null leaves a title as it is."""

    title_en: _Text | None = None
    title_zh: _Text | None = None


class NewClass(_Body):
    """What `POST /api/albums/{key}/classes` takes. One name may be left out."""

    label: _Text = ""
    label_zh: _Text = ""


class ClassNames(_Body):
    """What `PATCH /api/albums/{key}/classes/{class_id}` takes; null leaves a name as it is."""

    label: _Text | None = None
    label_zh: _Text | None = None


class SomePhotos(_Body):
    """Which photos are to be removed or restored; those that are gone are passed over."""

    photos: Annotated[list[PhotoId], Field(max_length=20_000)]


class MovedPhotos(SomePhotos):
    """Which photos are to be moved, and to which class."""

    to: Annotated[str, Field(max_length=64)]


class TrainingOrder(_Body):
    """What `POST /api/albums/{key}/train` takes. `resume`: go on with a run that was stopped, where nothing changed."""

    resume: bool = False


class AlbumLine(Schema):
    """One album in the list. `classes`, `photos`: how many. `job`: the newest training job's id."""

    key: str
    title_en: str
    title_zh: str
    classes: int
    photos: int
    job: str | None
    active: str | None


class Albums(Schema):
    """The answer to `GET /api/albums`, and to deleting one. `can_teach`: whether what training needs is here."""

    can_teach: bool
    albums: list[AlbumLine]


class KeptPhoto(Schema):
    """A photo as it is kept."""

    id: PhotoId
    width: int
    height: int


class PhotoClass(Schema):
    """A class, with its photos in the order in which they came."""

    id: str
    label: str
    label_zh: str
    photos: list[KeptPhoto]


class Sentence(Schema):
    """Something said in both languages."""

    en: str
    zh: str


class AlbumShown(Schema):
    """An album. `problem`: why training cannot begin yet; null where it can. `job`: the newest training job's id."""

    key: str
    title_en: str
    title_zh: str
    created: str
    classes: list[PhotoClass]
    photos: Annotated[int, Field(description="How many in all.")]
    problem: Sentence | None
    job: str | None
    versions: list[str]
    active: str | None


class Refusal(Schema):
    """Why a photo was not taken."""

    code: str
    detail: str


class PhotoResult(Schema):
    """What became of one upload. `already`: the album had it."""

    filename: str | None
    photo: KeptPhoto | None
    already: bool
    error: Refusal | None


class PhotoResults(Schema):
    """One result for each upload, in order."""

    results: list[PhotoResult]


class RefusedFile(Refusal):
    """A file of a zip that was not taken."""

    filename: str


class ZipResult(Schema):
    """What became of a zip: how many photos were taken, or were there already; which files were not, and why."""

    added: int
    already: int
    refused: list[RefusedFile]
    album: AlbumShown


class FindingShown(Sentence):
    """One thing that the examination found, and the photos that it is about."""

    kind: str
    photos: list[PhotoId]


class Findings(Schema):
    """The answer to `GET /api/albums/{key}/findings`."""

    findings: list[FindingShown]


ANSWERS: tuple[type[Schema], ...] = (
    AlbumLine, Albums, KeptPhoto, PhotoClass, Sentence, AlbumShown, Refusal, PhotoResult, PhotoResults, RefusedFile,
    ZipResult, FindingShown, Findings,
)  # fmt: skip
REQUESTS: tuple[type[BaseModel], ...] = (
    NewAlbum, AlbumTitles, NewClass, ClassNames, SomePhotos, MovedPhotos, TrainingOrder
)  # fmt: skip
