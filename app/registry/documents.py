"""One small document a mode, the same for all sites: read, and replaced only by who has read the newest.

A store that knows conditional writes (S3: `If-Match`, `If-None-Match`) keeps them itself, PostgreSQL for any other.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from app.errors import ModelError

if TYPE_CHECKING:
    import psycopg

_CONNECT_S = 5
_DEAD_S = 10
"""How long a statement, or a connection over which nothing comes back, is waited for."""
_QUICKER = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 says where another has written since, or is just writing."""


class Moved(Exception):
    """Another has written since: nothing was changed."""


class Document(NamedTuple):
    """Its content, and the tag that no other content of it has had or will have."""

    content: bytes
    tag: str


class Documents(Protocol):
    """Raises whatever the store's driver says where it is away."""

    def tags(self) -> dict[str, str]:
        """The tag of each document there is, by mode; one question, however many there are."""

    def read(self, mode: str) -> Document | None:
        """The newest; None where there is none."""

    def swap(self, mode: str, content: bytes, tag: str | None) -> str:
        """Replace the document of that tag (None: there is none yet), at once and for all; the new tag.

        Raises:
            Moved: it is another by now. ModelError: the store does not refuse that, so that it cannot be used.
        """


class S3Documents:
    """Objects `<root>/<mode>.json`; the tag is the store's own. `fs`: an `s3fs.S3FileSystem`, without a cache."""

    def __init__(self, fs: Any, root: str) -> None:  # noqa: ANN401 - s3fs has no types
        self._fs = fs
        self._bucket, _, self._prefix = root.partition("/")
        self._is_tried = False
        self._lock = threading.Lock()

    def tags(self) -> dict[str, str]:
        """As `Documents.tags`."""
        try:
            found = self._fs.ls(f"{self._bucket}/{self._prefix}", detail=True, refresh=True)
        except FileNotFoundError:  # no mode yet; or no bucket, which the first change will say
            return {}
        names = {one["name"].rpartition("/")[2]: str(one.get("ETag")) for one in found if one["type"] == "file"}
        return {name.removesuffix(".json"): tag for name, tag in names.items() if name.endswith(".json")}

    def read(self, mode: str) -> Document | None:
        """As `Documents.read`."""
        from fsspec.asyn import sync

        async def get() -> Document:
            answer = await self._fs._call_s3("get_object", Bucket=self._bucket, Key=self._key(f"{mode}.json"))
            async with answer["Body"] as body:
                return Document(await body.read(), answer["ETag"])

        try:
            document: Document = sync(self._fs.loop, get)
        except FileNotFoundError:
            return None
        return document

    def swap(self, mode: str, content: bytes, tag: str | None) -> str:
        """As `Documents.swap`."""
        self._try()
        return self._put(f"{mode}.json", content, tag)

    def _try(self) -> None:
        """Once in a process: a store that took no notice of conditions would lose changes, and nobody would know."""
        with self._lock:
            if self._is_tried:
                return
            with suppress(Moved):
                self._put("conditional-writes", b"", None)  # the first time that anybody asks
                self._put("conditional-writes", b"", None)
                raise ModelError(
                    "the store that MODELS_STORE names takes no notice of conditions (If-None-Match), "
                    "so that changes of two sites would be lost"
                )
            self._is_tried = True

    def _put(self, name: str, content: bytes, tag: str | None) -> str:
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            answer = self._fs.call_s3("put_object", Bucket=self._bucket, Key=self._key(name), Body=content, **condition)
        except OSError as error:
            if _code(error) in _QUICKER:
                raise Moved from error
            raise
        return str(answer["ETag"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"


class RowDocuments:
    """Rows of the table `mode_states` in PostgreSQL, which the server's migrations make; the tag is the revision."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)

    def tags(self) -> dict[str, str]:
        """As `Documents.tags`."""
        with connected(self._url) as connection:
            rows = connection.execute("SELECT mode, revision FROM mode_states").fetchall()
        return {str(mode): str(revision) for mode, revision in rows}

    def read(self, mode: str) -> Document | None:
        """As `Documents.read`."""
        with connected(self._url) as connection:
            asked = "SELECT content, revision FROM mode_states WHERE mode = %s"
            row = connection.execute(asked, (mode,)).fetchone()
        return Document(str(row[0]).encode(), str(row[1])) if row else None

    def swap(self, mode: str, content: bytes, tag: str | None) -> str:
        """As `Documents.swap`."""
        text = content.decode()
        with connected(self._url) as connection:
            if tag is None:
                asked = (
                    "INSERT INTO mode_states (mode, revision, content) VALUES (%s, 1, %s) "
                    "ON CONFLICT DO NOTHING RETURNING revision"
                )
                row = connection.execute(asked, (mode, text)).fetchone()
            else:
                asked = (
                    "UPDATE mode_states SET revision = revision + 1, content = %s "
                    "WHERE mode = %s AND revision = %s RETURNING revision"
                )
                row = connection.execute(asked, (text, mode, int(tag))).fetchone()
        if row is None:
            raise Moved
        return str(row[0])


@contextmanager
def connected(url: str) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """A transaction of its own connection: committed at the end, undone where the block fails.

    Raises:
        ConnectionError: the database is away, or says no.
    """
    import psycopg  # 9 MB, which one machine alone need not have

    options = f"-c lock_timeout={_DEAD_S}s -c statement_timeout={_DEAD_S}s"
    dead_ms = _DEAD_S * 1000
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_S, tcp_user_timeout=dead_ms, options=options) as connection:
            yield connection
    except psycopg.Error as error:
        raise ConnectionError(str(error)) from error


def _code(error: OSError) -> str | None:
    """S3's own word for it."""
    said = getattr(error.__cause__, "response", {})
    code: str | None = said.get("Error", {}).get("Code")
    return code
