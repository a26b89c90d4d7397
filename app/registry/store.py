"""The store that several sites share, at any address that fsspec reads: which files a version has, and moving them.

A version lies in `versions/<mode>/<version>/<its hash>/`: two sites that give two versions one name do not meet, and
the mode's document says whose it is.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from app.config import Settings
from app.errors import ConfigError, ModelError, WanwuError
from app.registry.documents import Documents, Moved, RowDocuments, S3Documents
from app.registry.files import is_full
from app.registry.sharing import StoreAway
from app.registry.state import MANIFEST
from app.vision.download import sha256_of

_S3_OPTIONS = {
    "use_listings_cache": False,
    "skip_instance_cache": True,
    "config_kwargs": {"connect_timeout": 2, "read_timeout": 10, "retries": {"max_attempts": 0}},
}
_AGAIN = 2
"""How often s3fs asks where a connection breaks off."""


class Store:
    """Files at an address. Whatever its driver raises becomes StoreAway; what is damaged is a ModelError."""

    def __init__(self, fs: Any, root: str, documents: Documents) -> None:  # noqa: ANN401 - fsspec has no types
        self._fs, self._root = fs, root
        self._has_folders = not isinstance(documents, S3Documents)
        self.documents = documents

    def push(self, mode: str, version: str, digest: str, folder: Path) -> None:
        """Put a version there, its manifest last."""
        target = self._folder(mode, version, digest)
        with answering():
            self._make_folder(target)
            for path in sorted(files_of(folder), key=lambda path: path.name == MANIFEST):
                self._fs.put_file(str(path), f"{target}/{path.name}")

    def pull(self, mode: str, version: str, digest: str, folder: Path) -> None:
        """Fill an empty folder with that version.

        Raises:
            StoreAway: the store does not answer. ModelError: what came is not that version.
        """
        source = self._folder(mode, version, digest)
        with answering():
            try:
                names = [str(one["name"]) for one in self._fs.ls(source, detail=True) if one["type"] == "file"]
                for name in names:
                    self._fs.get_file(name, str(folder / Path(name).name))
            except FileNotFoundError as error:
                self._check_there()
                raise ModelError(f"the store has not all of the version {version} of {mode}") from error
        if digest_of(folder) != digest:
            raise ModelError(f"the version {version} of {mode} is damaged in the store: its SHA-256 differs")

    def remove(self, mode: str, version: str, digest: str) -> None:
        """Remove a version that no document names any more."""
        with answering():
            self._fs.rm(self._folder(mode, version, digest), recursive=True)

    def put(self, name: str, content: bytes) -> None:
        """As `sharing.Site.put`."""
        path = f"{self._root}/{name}"
        with answering():
            self._make_folder(path.rpartition("/")[0])
            self._fs.pipe_file(path, content)

    def get(self, name: str) -> bytes | None:
        """As `sharing.Site.get`."""
        with answering():
            try:
                content: bytes = self._fs.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                self._check_there()
                return None
        return content

    def drop(self, name: str) -> None:
        """As `sharing.Site.remove`."""
        with answering(), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def names(self, folder: str) -> dict[str, datetime]:
        """As `sharing.Site.names`."""
        with answering():
            try:
                found = self._fs.ls(f"{self._root}/{folder}", detail=True, refresh=True)
            except FileNotFoundError:
                self._check_there()
                return {}
            return {str(one["name"]).rpartition("/")[2]: _moment(one) for one in found if one["type"] == "file"}

    def _make_folder(self, path: str) -> None:
        if self._has_folders:
            self._check_there()
            self._fs.makedirs(path, exist_ok=True)

    def _check_there(self) -> None:
        """The bucket, or the store's own folder, is the operator's to make: without it nobody knows what is there."""
        if not self._has_folders:
            self._fs.call_s3("head_bucket", Bucket=self._root.partition("/")[0])
        elif not self._fs.isdir(self._root):
            raise FileNotFoundError(f"the folder {self._root} is not there: is it mounted?")

    def _folder(self, mode: str, version: str, digest: str) -> str:
        return f"{self._root}/versions/{mode}/{version}/{digest}"


def _moment(found: Mapping[str, Any]) -> datetime:
    """When a file was written, as S3 or a disk says it; of another store that says neither, now."""
    if "mtime" in found:
        return datetime.fromtimestamp(found["mtime"], UTC)
    written: datetime = found.get("LastModified") or datetime.now(UTC)
    return written


def open_store(settings: Settings) -> Store:
    """The store that MODELS_STORE names. Nothing is asked of it yet: one that is away stops no server from starting.

    Raises:
        ConfigError: it is no address, needs a package that is missing, or knows no conditional writes while there is
        no PostgreSQL to do it instead.
    """
    url = settings.models_store or ""
    is_s3 = url.startswith(("s3://", "s3a://"))
    try:
        fs, root = fsspec.url_to_fs(url.rstrip("/"), **(_S3_OPTIONS if is_s3 else {}))
    except ImportError as error:
        raise ConfigError(f"The setting MODELS_STORE needs another package: {error}.") from error
    except ValueError as error:
        raise ConfigError(f"The setting MODELS_STORE is wrong: {error}.") from error
    if is_s3:
        fs.retries = _AGAIN
        return Store(fs, root, S3Documents(fs, f"{root}/states"))
    if not (settings.database_url or "").startswith("postgres"):
        raise ConfigError(
            "The setting MODELS_STORE names a store without conditional writes, where two sites could undo each "
            "other's changes: set DATABASE_URL to a PostgreSQL that all sites share, or take an S3-compatible store."
        )
    return Store(fs, root, RowDocuments(settings.database_url or ""))


def files_of(folder: Path) -> list[Path]:
    """The files of a version."""
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def digest_of(folder: Path) -> str:
    """The hash of a version: of the names and SHA-256 of all its files, the manifest and the report too."""
    lines = sorted(f"{path.name} {sha256_of(path)}\n" for path in files_of(folder))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def answering() -> Iterator[None]:
    """Turns whatever a driver says into StoreAway; not a full disk of ours, and nothing that has a name already."""
    try:
        yield
    except (WanwuError, Moved):
        raise
    except Exception as error:  # whatever a driver says
        if isinstance(error, OSError) and is_full(error):
            raise
        raise StoreAway from error
