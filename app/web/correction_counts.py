"""How far each mode is from its next training: what waits for a decision, and what was accepted since the last one."""

from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import UnknownMode
from app.feedback.accepted import count_new
from app.feedback.database import Database
from app.feedback.review import count_entries
from app.feedback.trouble import told
from app.registry import jobs
from app.registry.catalog import BUILT_IN
from app.registry.library import ModeRecord, read_mode
from app.registry.versions import PHOTOS
from app.serving.manager import ModelManager

WORTH_IT = 20
"""New corrections: four of them are only judged on (one in five), and fewer rarely change an answer."""


def correction_counts(database: Database, settings: Settings, manager: ModelManager) -> dict[str, Any]:
    """What `GET /api/corrections/counts` answers, the modes by key.

    Raises:
        NotSaved: the database does not answer.
    """
    titles = {mode.key: {"en": mode.title_en, "zh": mode.title_zh} for mode in manager.modes()}
    retrained = {job.mode: job.id for job in reversed(jobs.list_jobs(settings.models_dir)) if job.kind == "retrain"}
    entries = count_entries(database)
    with told():
        new = {key: count_new(database, settings.models_dir, key) for key in entries}
    modes = [
        {
            "mode": key,
            "title": titles.get(key, {"en": key, "zh": key}),
            **entries[key],
            "new": new[key],
            **_training(settings.models_dir, key),
            "job": retrained.get(key),
        }
        for key in sorted(entries)
    ]
    return {"worth_it": WORTH_IT, "modes": modes}


def _training(models_dir: Path, key: str) -> dict[str, str | None]:
    """The mode's newest version, and what stands in the way of another."""
    if key in BUILT_IN:
        return {"version": None, "obstacle": "base"}
    try:
        record = read_mode(models_dir, key)
    except UnknownMode:
        return {"version": None, "obstacle": "gone"}
    says_its_photos = record.active is not None and (models_dir / key / record.active / PHOTOS).is_file()
    return {"version": _newest(record), "obstacle": None if says_its_photos else "no_photos"}


def _newest(record: ModeRecord) -> str | None:
    made = [(version.created, version.version) for version in record.versions if version.complete and version.created]
    return max(made)[1] if made else None
