"""Uploads stay in memory: pictures never touch the disk, not even in passing, but for zips of what is kept anyway."""

from io import BufferedReader, BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from flask import Request
from werkzeug.datastructures import FileStorage

READ_AHEAD = 1024 * 1024
"""Bytes taken from the server at once. A form is parsed by 64 kB, and gunicorn copies all that it has for each read."""


class MemoryRequest(Request):
    """A request whose files are read into memory, bounded by `MAX_CONTENT_LENGTH`; Flask's own spills to a file."""

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
