"""The tables. `migrations/` makes and changes them; nothing else does."""

from datetime import UTC, date, datetime

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """A time in UTC that says so; SQLite keeps its digits only."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As it comes back: SQLite's without a zone, PostgreSQL's in the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What all tables share. Times are UTC."""

    type_annotation_map = {datetime: Moment()}  # noqa: RUF012 - SQLAlchemy's way


class Count(Base):
    """What one version of a mode did on one day in one role: sums only, no picture and no person.

    `role`: active, split or shadow. `compared`: pictures that a shadow saw along with the active version, and `agreed`
    those of them where both said the same. `infer_s`: the seconds in the network, summed over pictures.
    """

    __tablename__ = "counts"

    day: Mapped[date] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    pictures: Mapped[int] = mapped_column(default=0)
    unknown: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    compared: Mapped[int] = mapped_column(default=0)
    agreed: Mapped[int] = mapped_column(default=0)
    infer_s: Mapped[float] = mapped_column(default=0.0)


class Picture(Base):
    """A picture that a person let us keep; its file is named after `sha256`. `look`: its perceptual hash, hex.

    `same_as`: the earlier picture that shows the same, where there is one.
    """

    __tablename__ = "pictures"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    look: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    same_as: Mapped[str | None] = mapped_column(ForeignKey("pictures.sha256", ondelete="SET NULL"))


class Correction(Base):
    """What a person said of one answer: one for each request and `place` of a picture in it, however often it is sent.

    `kind`: label (one of the mode's), new (a class it has not), none (of these). `status`: pending, accepted, rejected.
    `final_label`: what a reviewer made of it. `revision` goes up with every review, so that two do not undo each other.
    """

    __tablename__ = "corrections"
    __table_args__ = (UniqueConstraint("request_id", "place"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(64))
    place: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime] = mapped_column(index=True)
    mode: Mapped[str] = mapped_column(String(64), index=True)
    version: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(String(200))
    confidence: Mapped[float]
    kind: Mapped[str] = mapped_column(String(8))
    label: Mapped[str | None] = mapped_column(String(200))
    picture: Mapped[str | None] = mapped_column(ForeignKey("pictures.sha256", ondelete="SET NULL"), index=True)
    status: Mapped[str] = mapped_column(String(16), default="pending", index=True)
    final_label: Mapped[str | None] = mapped_column(String(200))
    reviewed: Mapped[datetime | None]
    reviewer: Mapped[str | None] = mapped_column(String(64))
    revision: Mapped[int] = mapped_column(default=0)
    used_by: Mapped[str | None] = mapped_column(String(64))
    """The version that learned from it."""
    sureness: Mapped[float | None]
    """What the threshold was compared with; None in corrections from before there was such a thing."""


class RateHit(Base):
    """One request of a client under one rate (`feedback.rates`), until it no longer counts.

    `key`: a digest of who and which rate. `moment`, `expires`: seconds of the clock that all who share the table read.
    """

    __tablename__ = "rate_hits"
    __table_args__ = (Index("ix_rate_hits_key_moment", "key", "moment"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    key: Mapped[str] = mapped_column(String(32))
    moment: Mapped[float]
    expires: Mapped[float] = mapped_column(index=True)


class ModeState(Base):
    """What all sites see of a mode, where their store cannot decide who was first (`registry.documents`).

    `content`: JSON. `revision`: one more with every change; who has not read the newest changes nothing.
    """

    __tablename__ = "mode_states"

    mode: Mapped[str] = mapped_column(String(64), primary_key=True)
    revision: Mapped[int]
    content: Mapped[str] = mapped_column(Text)


class SiteJob(Base):
    """A job of one of several sites (`registry.job_book`). `about`: JSON, as its own site described it when last seen.

    `seen`: when its process last said that it lives. `is_unwanted`: somebody, anywhere, has cancelled it.
    """

    __tablename__ = "site_jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    mode: Mapped[str] = mapped_column(String(64), index=True)
    started: Mapped[datetime]
    seen: Mapped[datetime]
    is_over: Mapped[bool]
    is_unwanted: Mapped[bool]
    about: Mapped[str] = mapped_column(Text)
