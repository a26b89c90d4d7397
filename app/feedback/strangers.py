"""How sure a version was of pictures that show none of its classes: what a threshold is there to stop."""

from sqlalchemy import func, select

from app.feedback.database import Database
from app.feedback.tables import Correction
from app.feedback.trouble import told

MOST = 2000
"""The newest so many are enough to draw."""


def stranger_scores(database: Database, mode: str, version: str) -> list[float]:
    """How sure (0 to 1) `version` was of each picture that a reviewer agrees to show "none of these", newest first.

    Of a correction that does not say, the confidence: where a mode has chosen no score the two are the same.

    Raises:
        NotSaved: the database does not answer.
    """
    accepted = (
        select(func.coalesce(Correction.sureness, Correction.confidence))
        .where(
            Correction.mode == mode,
            Correction.version == version,
            Correction.status == "accepted",
            Correction.kind == "none",
            Correction.final_label.is_(None),  # else the reviewer has found a name for it
        )
        .order_by(Correction.created.desc())
        .limit(MOST)
    )
    with told(), database.session() as session:
        return list(session.scalars(accepted))
