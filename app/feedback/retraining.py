"""The whole loop: what was corrected into a new version, and the new version into service if it is better.

Only commands import this module: what serves must not need what training needs.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.errors import DataError, ModelError
from app.feedback.accepted import AcceptedPicture, accepted_pictures, count_new, mark_used, stranger_pictures
from app.feedback.database import Database
from app.feedback.pictures import folder_of
from app.feedback.trouble import one_line
from app.registry.catalog import BUILT_IN
from app.registry.manifest import Manifest, is_key
from app.registry.state import active_version
from app.registry.versions import read_version

if TYPE_CHECKING:
    from app.training.gathering import Gathered
    from app.training.options import Options
    from app.training.outcome import Outcome
    from app.training.progress import Progress
    from app.training.promotion import Comparison

POLL_S = 5.0
Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Retrained:
    """The new version, what it learned from, how it compares with the one before, and whether it took its place."""

    outcome: "Outcome"
    gathered: "Gathered"
    comparison: "Comparison"
    promoted: bool

    def facts(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        found, parts = self.gathered, self.outcome.dataset.parts()
        photos = {"corrected": len(found.taken), "gone": found.gone}
        photos.update((part, len(samples)) for part, samples in parts.items())
        classes = {"begun": found.begun, "too_few": found.too_few}
        findings = [finding.sentence_en for finding in self.outcome.findings]
        more = {"photos": photos, "new_classes": classes, "findings": findings, "promoted": self.promoted}
        return {**self.comparison.facts(), **more}


def wait_for(count: int, database: Database, models_dir: Path, mode: str, say: Say) -> None:
    """Return once `count` accepted corrections are there that no version has learned from; says how many there are."""
    told = ""
    while True:
        try:
            there = count_new(database, models_dir, mode)
            line = f"{there} of {count} new corrections of {mode} are accepted."
            line_zh = f"模式 {mode} 已采纳 {there} 条新纠正，共需 {count} 条。"
        except SQLAlchemyError as error:
            there, line = 0, f"The database does not answer, and is asked again: {one_line(error)}"
            line_zh = "数据库没有响应，稍后重试。"
        if line != told:
            say(line, line_zh)
            told = line
        if there >= count:
            return
        time.sleep(POLL_S)


def retrain(
    mode: str, settings: Settings, database: Database, progress: "Progress", *, by: str, data: Path | None, why: str
) -> Retrained:
    """Gather, examine, train as the active version was, compare, promote or keep.

    Corrections are noted as used at the very end: killed before that, the next call finds them new once more, and
    takes each of them once.

    Raises:
        ModelError: the mode has no version that can be served. DataError: its photos cannot be had, or are not enough.
        SQLAlchemyError: the database cannot be reached.
    """
    from app.training.order import Order
    from app.training.promotion import compare_versions, switch
    from app.training.run import train

    folder = _active_folder(settings.models_dir, mode)
    manifest, _ = read_version(folder)
    if manifest.members:
        raise ModelError(
            f"{mode} {manifest.version} is an ensemble, and is not trained itself: teach its members "
            f"({', '.join(member.source for member in manifest.members)}), then put them together again."
        )
    accepted = accepted_pictures(database, settings.models_dir, mode)
    private = folder_of(settings.models_dir)
    gathered = _gather(folder, manifest, accepted, private)
    for en, zh in _sentences(gathered):
        progress.say(en, zh)
    title = manifest.title
    strangers = _strangers(manifest, stranger_pictures(database, settings.models_dir, mode))
    order = Order(gathered.dataset, mode, _options(manifest), title.en, title.zh, private=private, unknown=strangers)
    outcome = train(order, settings, progress)
    comparison = compare_versions(settings, mode, outcome.version, data, progress=progress)
    promoted = switch(settings, comparison, by=by, why=why)
    used = [picture.correction_id for picture in accepted if picture.sha256 in gathered.taken]
    mark_used(database, used, outcome.version)
    return Retrained(outcome, gathered, comparison, promoted)


def _active_folder(models_dir: Path, mode: str) -> Path:
    if mode in BUILT_IN:
        raise ModelError(f"The mode {mode} is the baseline and is never trained.")
    active = active_version(models_dir / mode) if is_key(mode) else None
    if active is None:
        raise ModelError(f"There is no trained mode called {mode!r}.")
    return models_dir / mode / active


def _gather(folder: Path, manifest: Manifest, accepted: Iterable[AcceptedPicture], private: Path) -> "Gathered":
    from app.photos.snapshot import Photo, read_snapshot
    from app.training.gathering import gather

    own = read_snapshot(folder)
    if own is None:
        raise DataError(
            f"{manifest.mode} {manifest.version} does not say which photos it learned from: train the mode from its "
            "photos once more (python -m app train), then its corrections can be added."
        )
    corrected = [Photo("train", one.label, one.sha256, False, one.path) for one in accepted]
    return gather(own, manifest.labels, [photo for photo in corrected if photo.is_there()], private)


def _strangers(manifest: Manifest, kept: list[Path]) -> tuple[Path, ...]:
    """Where what shows none of the classes lies: what `--unknown` named and is there still, and corrections' `kept`."""
    from app.photos.files import find_pictures
    from app.training.strangers import FEWEST_STRANGERS

    named = [Path(place) for place in manifest.options.get("unknown", [])]
    places = (*(place for place in named if place.exists()), *kept)
    return places if len(find_pictures(places)) >= FEWEST_STRANGERS else ()


def _options(manifest: Manifest) -> "Options":
    """Those that the version was trained with, on the same backbone."""
    from pydantic import ValidationError

    from app.training.options import Options

    given = {name: value for name, value in manifest.options.items() if name not in ("chosen", "unknown")}
    try:
        return Options(**{**given, "network": manifest.backbone.name})
    except ValidationError as error:
        raise DataError(
            f"{manifest.mode} {manifest.version} was trained with options that this release does not know: "
            "train the mode from its photos once more (python -m app train)."
        ) from error


def _sentences(gathered: "Gathered") -> Iterable[tuple[str, str]]:
    """What was gathered, for the operator, in English and Chinese."""
    from app.training.gathering import ENOUGH_FOR_A_CLASS

    parts = {part: len(samples) for part, samples in gathered.dataset.parts().items()}
    yield (
        f"Gathered {parts['train']} photos to learn from and {parts['test']} to be judged on; "
        f"{len(gathered.taken)} of them are corrections.",
        f"共有 {parts['train']} 张照片用于学习，{parts['test']} 张用于检验，其中 {len(gathered.taken)} 张来自纠正。",
    )
    if gathered.gone:
        yield (
            f"{gathered.gone} photos of the version before are gone or changed, and are left out.",
            f"上一版本的照片中有 {gathered.gone} 张已删除或改动，不再使用。",
        )
    for name, count in gathered.begun.items():
        yield f"New class: {name} ({count} photos to learn from).", f"新增类别：{name}（{count} 张照片用于学习）。"
    for name, count in gathered.too_few.items():
        yield (
            f"Not yet a class: {name} has {count} photos to learn from, and {ENOUGH_FOR_A_CLASS} are needed.",
            f"{name} 暂时不能成为类别：用于学习的照片有 {count} 张，至少需要 {ENOUGH_FOR_A_CLASS} 张。",
        )
