"""Fetch one file of known hash over HTTP: resumed, checked, put in place in one step; soon given up without a network.

Only the standard library, and nothing else of `app.vision`: this runs at set-up time, never while serving.
"""

import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

from app.errors import WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and the bytes of the whole file, or None where the server does not say."""

TIMEOUT_S = 4.0
"""Twice this, a stall and then one vain attempt to go on, has to stay well under the 10 seconds that are promised."""

ATTEMPTS = 5
PIECE_BYTES = 1 << 16


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hex. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(
    url: str,
    target: Path,
    sha256_prefix: str,
    *,
    timeout_s: float = TIMEOUT_S,
    attempts: int = ATTEMPTS,
    progress: Progress | None = None,
) -> str:
    """Make sure that `target` is the file whose SHA-256 begins with `sha256_prefix`; return that SHA-256 (hex).

    What has come lies in `target.part`; a later call goes on from there. `timeout_s` is the longest silence, in
    seconds, before an answer and within it. An attempt that brings no byte is the last one; `attempts` bounds the rest.

    Raises:
        WeightsError: the file cannot be had, is not the promised one, or cannot be written; `target` is untouched.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise WeightsError(f"'{url}' is no address to download from: it must begin with http:// or https://.")
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            sha256 = _fitting_sha256(target, sha256_prefix)  # another process may have fetched it meanwhile
            if sha256 is None:
                transfer = _Transfer(url, part, sha256_prefix, timeout_s, progress or (lambda done, total: None))
                sha256 = transfer.complete(attempts)
                part.replace(target)
            return sha256
    except OSError as error:  # those of the network have become sentences by now: this is the disk
        raise WeightsError(f"{target.name} could not be written: {error.strerror or error}.") from error


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock that belongs to `target`: a second process waits here, and then finds the file in place."""
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed, even by a crash
        yield


def _fitting_sha256(path: Path, prefix: str) -> str | None:
    """The SHA-256 of the file at `path`; None when there is none, or when it does not begin with `prefix`."""
    sha256 = sha256_of(path) if path.is_file() else ""
    return sha256 if sha256.startswith(prefix) else None


class _Interrupted(Exception):
    """The server did not send all that was asked for; the sentence says why."""


@dataclass
class _Transfer:
    """Bytes from `url` into `part`, until they are the promised ones."""

    url: str
    part: Path
    sha256_prefix: str
    timeout_s: float
    progress: Progress
    received: int = 0
    """Bytes that came over the network, all attempts together."""

    def complete(self, attempts: int) -> str:
        """Fill `part`, going on where an attempt broke off; return its SHA-256.

        Raises:
            WeightsError: it cannot be had; `part` keeps what may still be of use.
            OSError: `part` cannot be written.
        """
        if sha256 := _fitting_sha256(self.part, self.sha256_prefix):
            return sha256
        failure = ""
        for _ in range(attempts):
            resumed, received_before = self._size() > 0, self.received
            whole = True
            try:
                self._receive()
            except _Interrupted as interruption:
                failure, whole = str(interruption), False
            if sha256 := _fitting_sha256(self.part, self.sha256_prefix):
                return sha256
            if whole:
                self.part.unlink(missing_ok=True)
                failure = "What came has another SHA-256 than the file's name promises: it was thrown away."
            # Bytes of an earlier day may have spoilt it: then once more from zero. In silence, there is no use.
            if (whole and not resumed) or self.received == received_before:
                break
        raise WeightsError(failure)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _receive(self) -> None:
        """One request, for what `part` lacks.

        Raises:
            _Interrupted: not all came.
            OSError: `part` cannot be written.
        """
        start = self._size()
        response = self._ask(start)
        if response is None:
            self.part.unlink()
            start, response = 0, self._ask(0)
        if response is None:
            raise _Interrupted("The server sent another part of the file than it was asked for.")
        with response:
            done = start if response.status == HTTPStatus.PARTIAL_CONTENT else 0
            total = None if response.length is None else done + response.length
            with self.part.open("ab" if done else "wb") as file:
                self.progress(done, total)
                for piece in self._pieces(response):
                    file.write(piece)
                    done += len(piece)
                    self.received += len(piece)
                    self.progress(done, total)
                file.flush()
                os.fsync(file.fileno())
        if total is not None and done < total:
            raise _Interrupted(f"The connection broke off after {done} of {total} bytes.")

    def _ask(self, start: int) -> HTTPResponse | None:
        """The server's answer to a request from byte `start` on; None when it cannot go on from there.

        Raises:
            _Interrupted: there is no answer, or it is a refusal.
        """
        request = Request(self.url, headers={"User-Agent": "wanwu"})  # noqa: S310 (`download` looked at the scheme)
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            response = _open(request, self.timeout_s)
        except HTTPError as refusal:
            refusal.close()
            if start and refusal.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise _Interrupted(f"The server answered {refusal.code} {refusal.reason}.") from refusal
        except (OSError, HTTPException, ValueError) as error:
            raise _Interrupted(self._sentence(error)) from error
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            answered = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if answered is None or int(answered[1]) != start:
                response.close()
                return None
        return response

    def _pieces(self, response: HTTPResponse) -> Iterator[bytes]:
        """The body as it comes: `read1`, unlike `read`, loses nothing when the connection breaks in the midst of it."""
        try:
            while piece := response.read1(PIECE_BYTES):
                yield piece
        except (OSError, HTTPException, ValueError) as error:
            raise _Interrupted(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        host = urlsplit(self.url).hostname
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            return f"{host} did not answer within {self.timeout_s:g} seconds."
        if isinstance(reason, socket.gaierror):
            return f"The name {host} could not be looked up: there seems to be no network."
        return f"The connection to {host} failed: {getattr(reason, 'strerror', None) or reason}."


def _open(request: Request, timeout_s: float) -> HTTPResponse:
    """The answer's head, within `timeout_s` seconds in all.

    A socket's own time limit does not count the look-up of the name, and starts anew for each address and redirect:
    hence the thread, which is left alone when it takes too long.

    Raises:
        TimeoutError: there is no answer yet.
        OSError, HTTPException, ValueError: what urllib raises.
    """
    answers: SimpleQueue[HTTPResponse | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(build_opener().open(request, timeout=timeout_s))  # a fresh opener: it reads the proxies now
        except Exception as error:  # whatever it is, the caller has to see it
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer
