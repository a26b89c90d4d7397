"""`retrain` on a cluster: the whole loop on one of its cores. Only --ray imports this file."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.cluster.session import joined
from app.cluster.tasks import settings_of_a_core, spread
from app.errors import OperatorError
from app.feedback.database import Database
from app.feedback.retraining import Retrained, retrain
from app.feedback.trouble import one_line
from app.training.progress import SILENT


@dataclass(frozen=True, slots=True)
class _Piece:
    mode: str
    by: str
    data: Path | None
    why: str


def retrain_on(address: str, mode: str, *, by: str, data: Path | None, why: str) -> Retrained:
    """As `retraining.retrain`, on a core of the cluster at `address`, whose nodes see the same models and database."""
    piece = _Piece(mode, by, data.absolute() if data else None, why)
    with joined(address):
        (_, done), *_ = spread(_retrain, [piece])
    return done


def _retrain(piece: _Piece) -> Retrained:
    settings = settings_of_a_core()
    with closing(Database(settings.database)) as database:
        try:
            return retrain(piece.mode, settings, database, SILENT, by=piece.by, data=piece.data, why=piece.why)
        except SQLAlchemyError as error:  # which need not be one that can travel
            raise OperatorError(f"The database cannot be used: {one_line(error)}") from error
