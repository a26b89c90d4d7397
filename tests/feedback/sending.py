"""Help for the tests of corrections: what a person said, and pictures."""

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image
from sqlalchemy import func, select

from app.feedback.corrections import Said
from app.feedback.database import Database
from app.feedback.pictures import folder_of
from app.feedback.tables import Correction
from app.vision.keeping import Kept, prepare

MAX_PIXELS = 50_000_000
SAID = Said("request-1", 0, "colours", "v1", "red", 0.6, "label", "green")


def said(number: int, **changes: object) -> Said:
    """What was said of the answer to request `number`."""
    return replace(SAID, request_id=f"request-{number}", **changes)  # type: ignore[arg-type]


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **({"quality": 92} | options))
    return buffer.getvalue()


def kept(image: Image.Image, **options: object) -> Kept:
    return prepare(jpeg(image, **options), MAX_PIXELS)


def rows(database: Database) -> list[Correction]:
    with database.session() as session:
        found = list(session.scalars(select(Correction).order_by(Correction.created, Correction.id)))
        session.expunge_all()
    return found


def count(database: Database) -> int:
    with database.session() as session:
        return session.scalar(select(func.count(Correction.id))) or 0


def files(models: Path) -> list[Path]:
    """Every file among the kept pictures, half-written ones too."""
    folder = folder_of(models)
    return sorted(folder.iterdir()) if folder.is_dir() else []
