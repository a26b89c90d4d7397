"""A zip of class folders into an album, by the same rules as training reads one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import DataError, RequestError, StorageFull, TooLarge
from app.photos.album import add_class, albums_folder, read_album
from app.photos.album_errors import BadArchive
from app.photos.album_photos import add_photo
from app.photos.dataset import Dataset, read_dataset
from app.registry.files import is_full
from app.vision.keeping import Kept
from app.vision.labels import visible_name

MAX_BYTES = 2 * 1024**3
"""What a zip may hold, unpacked."""
MAX_FILE_BYTES = 64 * 1024**2
"""A larger picture in a zip is refused unread."""
_LEFT_S = 24 * 3600

Prepare = Callable[[bytes], Kept]


@dataclass(slots=True)
class ZipOutcome:
    """How many photos were taken, or were there already; the files that were not, and why."""

    added: int = 0
    already: int = 0
    refused: list[tuple[str, RequestError]] = field(default_factory=list)


def add_zip(models_dir: Path, key: str, archive: Path, prepare: Prepare) -> ZipOutcome:
    """Put the photos of `archive` into the classes that it names; classes that are not there yet are begun.

    It is unpacked beside itself.

    Raises:
        BadArchive: it cannot be read, or says of no photo which class it is. StorageFull: the disk is full.
    """
    try:
        dataset = read_dataset(archive, validation_share=0, workspace=archive.parent, most_bytes=MAX_BYTES)
    except DataError as error:
        raise BadArchive(reason=error) from error
    outcome = ZipOutcome()
    _add_all(models_dir, key, dataset, prepare, outcome)
    return outcome


@contextmanager
def upload_folder(models_dir: Path) -> Iterator[Path]:
    """A folder for an upload and what it unpacks to, on the disk that the photos go to; gone at the end.

    What a killed server left is removed after a day; what is in use is not, whatever the clock says.

    Raises StorageFull where the disk becomes full within it.
    """
    room = albums_folder(models_dir) / ".uploads"
    try:
        room.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in room.iterdir():
            with suppress(FileNotFoundError):  # another upload may be done just now
                if time.time() - left.stat().st_mtime > _LEFT_S and not _is_held(left):
                    shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=room, ignore_cleanup_errors=True) as folder, _held(folder):
            yield Path(folder)
    except OSError as error:
        if is_full(error):
            raise StorageFull from error
        raise


@contextmanager
def _held(folder: str) -> Iterator[None]:
    """Hold a folder's lock, which the kernel lets go of with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_held(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _add_all(models_dir: Path, key: str, dataset: Dataset, prepare: Prepare, outcome: ZipOutcome) -> None:
    ids: dict[int, str] = {}
    for samples in dataset.parts().values():
        for sample in samples:
            try:
                if sample.label not in ids:
                    ids[sample.label] = _class_id(models_dir, key, dataset, sample.label)
                if sample.path.stat().st_size > MAX_FILE_BYTES:
                    raise TooLarge(limit_mb=MAX_FILE_BYTES // 1024**2)
                _, already = add_photo(models_dir, key, ids[sample.label], prepare(sample.path.read_bytes()))
            except RequestError as error:
                outcome.refused.append((f"{sample.path.parent.name}/{sample.path.name}", error))
                continue
            outcome.already += already
            outcome.added += not already


def _class_id(models_dir: Path, key: str, dataset: Dataset, label: int) -> str:
    """The class of that name, which is begun where there is none. Raises as `add_class`."""
    name, name_zh = dataset.classes[label], dataset.classes_zh[label]
    known = read_album(models_dir, key).named(visible_name(name))
    return (known or add_class(models_dir, key, name, name_zh)).id
