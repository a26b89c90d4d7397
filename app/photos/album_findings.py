"""What the examination finds in an album, as it goes: training's own rules, in words that name classes, not files."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app.config import available_cores
from app.errors import RequestError
from app.photos.album import Album
from app.photos.album_photos import MAX_PHOTOS, photos_of
from app.photos.dataset import Dataset, Sample
from app.photos.duplicates import Look, look_at
from app.photos.examination import inspect
from app.photos.findings import Language

_KEPT_PIXELS = 1024 * 1024
"""The most that a kept photo has."""


@dataclass(frozen=True, slots=True)
class AlbumFinding:
    """One thing found, in both languages, and the ids of the photos that it is about."""

    kind: str
    en: str
    zh: str
    photos: tuple[str, ...]


def findings_of(models_dir: Path, album: Album) -> tuple[AlbumFinding, ...]:
    """What is to be said of an album's photos; empty classes are passed over, for which `problem_of` has words."""
    photos = photos_of(models_dir, album)
    there = _looks([photo.path for some in photos.values() for photo in some])
    paths = [tuple(photo.path for photo in photos[one.id] if photo.path in there) for one in album.present()]
    filled = [(one, some) for one, some in zip(album.present(), paths, strict=True) if some]
    return _found(tuple((one.label, one.label_zh) for one, _ in filled), tuple(some for _, some in filled))


@lru_cache(maxsize=8)
def _found(names: tuple[tuple[str, str], ...], paths: tuple[tuple[Path, ...], ...]) -> tuple[AlbumFinding, ...]:
    samples = tuple(Sample(path, label) for label, some in enumerate(paths) for path in some)
    classes, classes_zh = tuple(name for name, _ in names), tuple(name for _, name in names)
    labels = {sample.path: sample.label for sample in samples}

    def by_class(some: Sequence[Path], language: Language) -> str:
        counts = Counter(labels[path] for path in some)
        if language == "zh":
            return "、".join(f"{classes_zh[label]} {count} 张" for label, count in sorted(counts.items()))
        return ", ".join(f"{classes[label]} {count}" for label, count in sorted(counts.items()))

    looks = _looks([sample.path for sample in samples])
    examination = inspect(Dataset(classes, samples, (), (), classes_zh), looks)
    return tuple(
        AlbumFinding(
            found.kind,
            found.sentence("en", by_class),
            found.sentence("zh", by_class),
            tuple(path.name.partition("-")[0] for path in found.paths),
        )
        for found in examination.findings
    )


def _looks(paths: Sequence[Path]) -> dict[Path, Look]:
    """The looks of the photos that can be read; others were moved or removed meanwhile, and the page asks again."""

    def look(path: Path) -> Look | None:
        try:
            return _look(path)
        except (RequestError, OSError):
            return None

    with ThreadPoolExecutor(available_cores(), thread_name_prefix="examiner") as pool:
        return {path: look for path, look in zip(paths, pool.map(look, paths), strict=True) if look is not None}


@lru_cache(maxsize=MAX_PHOTOS)
def _look(path: Path) -> Look:
    """The look of a photo; its name tells its content, so that it never changes."""
    return look_at(path, _KEPT_PIXELS)
