"""Uploads stay in memory: pictures never touch the disk, not even in passing."""

from io import BytesIO
from typing import IO

from flask import Request


class MemoryRequest(Request):
    """A request whose files are read into memory, bounded by `MAX_CONTENT_LENGTH`; Flask's own spills to a file."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()
