"""Uploads stay in memory: pictures never touch the disk, not even in passing, but for zips of what is kept anyway."""

from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import ClientDisconnected
from werkzeug.utils import cached_property

from app.errors import RequestError, TooLarge

READ_AHEAD = 1024 * 1024
"""Bytes taken from the server at once. A form is parsed by 64 kB, and gunicorn copies all that it has for each read."""


class TooSlow(RequestError):
    """The rest of the request was not waited for; see `patience`."""

    status, code = 408, "too_slow"
    sentence_en = "The upload came too slowly and was given up: please try again, on a better connection if you can."
    sentence_zh = "上传太慢，已中断：请重试，最好换一个更好的网络。"


class FormTooLarge(TooLarge):
    """A form within the limit of its bytes, but not of its parts."""

    sentence_en = "The form has too many fields, or one whose text is too long."
    sentence_zh = "表单的字段过多，或某个字段的文字过长。"


class WholeBody(RawIOBase):
    """A request's body, of which `length` bytes were announced: one that breaks off is an error, not an end.

    `length` is None where none was: then a body that is longer than may be is an error, too, and not cut.
    """

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        self._stream = cast(RawIOBase, stream)
        self._announced = length is not None
        self._missing = length or 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Raises ClientDisconnected."""
        count = self._stream.readinto(buffer) or 0
        self._missing -= count
        if not count and len(buffer) and self._missing > 0:
            raise ClientDisconnected
        return count

    def readall(self) -> bytes:
        """All that is left, without copying it piece by piece. Raises ClientDisconnected, RequestEntityTooLarge."""
        data = cast(IO[bytes], self._stream).read()
        if not self._announced:
            self._stream.read(1)  # raises where there is more than may be; the read before has cut it without a word
        self._missing -= len(data)
        if self._missing > 0:
            raise ClientDisconnected
        return data


class MemoryRequest(Request):
    """A request whose files are read into memory, bounded by `MAX_CONTENT_LENGTH`; Flask's own spills to a file."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """The body, as it comes."""
        return cast(IO[bytes], WholeBody(super().stream, self.content_length))

    def _get_stream_for_parsing(self) -> IO[bytes]:
        stream = super()._get_stream_for_parsing()
        return stream if isinstance(stream, BytesIO) else BufferedReader(stream, READ_AHEAD)  # type: ignore[type-var]

    _files_folder: Path | None = None

    def keep_files_in(self, folder: Path) -> None:
        """Let the files of this request, which are too large for memory, lie in `folder` while it lasts."""
        self._files_folder = folder

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        if self._files_folder is not None:
            return cast(IO[bytes], TemporaryFile(dir=self._files_folder))
        return BytesIO()


def content(part: FileStorage) -> bytes:
    """All bytes of an uploaded file, without the copy that `read` makes of them."""
    return cast(BytesIO, part.stream).getvalue()
