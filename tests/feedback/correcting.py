"""Accepted corrections written straight into the tables, with their pictures where the server keeps them."""

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from app.config import Settings
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.feedback.pictures import write_picture
from app.feedback.tables import Correction, Picture
from app.registry.state import now
from app.vision.keeping import prepare


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database that `settings` names, its tables up to date."""
    database = Database(settings.database)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


def accept(
    database: Database, settings: Settings, mode: str, image: Image.Image, label: str | None, version: str = "v1"
) -> str:
    """One accepted correction with its picture; its SHA-256. With no label it shows "none of these"."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    kept = prepare(buffer.getvalue(), settings.max_pixels)
    write_picture(settings.models_dir, kept)
    with database.session() as session:
        session.add(Picture(sha256=kept.sha256, look=kept.look, created=now()))
        session.flush()
        correction = Correction(
            id=uuid.uuid4().hex, request_id=uuid.uuid4().hex, created=now(), mode=mode, version=version, answer="other",
            confidence=0.5, kind="label" if label else "none", label=label,
            picture=kept.sha256, status="accepted", final_label=label,
            reviewed=now(), reviewer="a test",
        )  # fmt: skip
        session.add(correction)
    return kept.sha256
