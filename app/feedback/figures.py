"""How a trial goes: what was counted for each of its versions."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.feedback.counts import Sums
from app.feedback.database import Database
from app.feedback.tables import Correction, Count
from app.registry.state import Trial, read_state


@dataclass(frozen=True, slots=True)
class Figures:
    """One version's share of a trial. Rates are 0 to 1, None where there is nothing to divide by."""

    version: str
    role: str
    sums: Sums
    corrections: int

    def as_dict(self) -> dict[str, Any]:
        """The figures as the API gives them; `agreement` is with the active version, of pictures that both saw."""
        sums = self.sums
        return {
            "version": self.version,
            "role": self.role,
            "pictures": sums.pictures,
            "unknown": sums.unknown,
            "unknown_rate": _share(sums.unknown, sums.pictures),
            "errors": sums.errors,
            "compared": sums.compared,
            "agreed": sums.agreed,
            "agreement": _share(sums.agreed, sums.compared),
            "mean_infer_ms": _share(1000 * sums.infer_s, sums.pictures),
            "corrections": self.corrections,
        }


def trial_report(database: Database, models_dir: Path, mode: str) -> dict[str, Any]:
    """The trial that runs beside a mode's active version, if any, with the figures of both since it began.

    Pictures are counted by the day (UTC), so all of its first day's are in them; corrections from its first moment on.

    Raises:
        ModelError: the mode's state cannot be read.
    """
    state = read_state(models_dir / mode)
    trial, figures = state.trial, []
    if trial and state.active:
        with database.session() as session:
            beside = "split" if trial.kind == "split" else "active"
            for version, role in ((state.active, beside), (trial.version, trial.kind)):
                figures.append(_figures(session, mode, version, role, trial))
    return {
        "mode": mode,
        "active": state.active,
        "trial": trial.model_dump(mode="json") if trial else None,
        "versions": [one.as_dict() for one in figures],
    }


def _figures(session: Session, mode: str, version: str, role: str, trial: Trial) -> Figures:
    counted = select(Count).where(
        Count.mode == mode, Count.version == version, Count.role == role, Count.day >= trial.since.date()
    )
    corrections = select(func.count()).where(
        Correction.mode == mode, Correction.version == version, Correction.created >= trial.since
    )
    return Figures(version, role, _total(session.scalars(counted)), session.scalar(corrections) or 0)


def _total(rows: Iterable[Count]) -> Sums:
    total = Sums()
    for row in rows:
        total.add(Sums(row.pictures, row.unknown, row.errors, row.compared, row.agreed, row.infer_s))
    return total


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
