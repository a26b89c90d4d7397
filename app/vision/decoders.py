"""Pictures decoded in processes of their own, so that no picture can take the server down. See `decoding_process`.

The process that serves calls `POOL.start` once; where nobody has, as in commands on one's own photos, `decode` and
`decode_crop` decode in this process.
"""

import atexit
import hashlib
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from app.config import ROOT, available_cores, environment_of_one_thread
from app.errors import Busy, TooManyPixels, UnreadableImage, UnsupportedFormat
from app.vision import picture
from app.vision.messages import receive, send
from app.vision.picture import EXTENT, Picture
from app.vision.transform import Pixels, Transform

LOG = logging.getLogger(__name__)
PATIENCE_S = 15.0
"""By the clock: a decoder's own limit is on processor time, which a decoder that only waits does not take."""
_BIRTH_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What a network looks at, uint8 `[crop, crop, 3]` for each part of its transform; the rest is the upload's."""

    pixels: list[Pixels]
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class _Decoder:
    process: int
    connection: socket.socket

    def is_there(self) -> bool:
        """Whether it still waits for work, or works: there is nothing to be read from it, not even its end."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return not poll.poll(0)

    def ask(self, words: dict[str, Any], data: bytes, most: int) -> tuple[dict[str, Any], bytes]:
        """Raises OSError, or ValueError: there is no answer, or none that can be read."""
        send(self.connection, words, data)
        answer = receive(self.connection, most)
        if answer is None:
            raise ConnectionError("it ended")
        return answer

    def end(self) -> None:
        """End it, whatever it does."""
        if self.is_there():  # else its number may be another process's by now
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
        self.connection.close()


@dataclass(slots=True, eq=False)
class Decoders:
    """Decoders that wait for work, and whom to ask for more. Safe to call from many threads."""

    module: str = "app.vision.decoding_process"
    deaths: int = 0
    """How many died, or were ended, over a picture."""
    _host: "_Host | None" = None
    _idle: list[_Decoder] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, words: dict[str, Any], data: bytes, most: int) -> tuple[dict[str, Any], bytes]:
        """Let a decoder answer.

        Raises:
            UnsupportedFormat, TooManyPixels, UnreadableImage: as `picture.decode`; the last also for a picture that the
            decoder did not survive. Busy: no decoder can be had.
        """
        decoder = self._take()
        try:
            told, content = decoder.ask(words, data, most)
        except (OSError, ValueError) as error:
            decoder.end()
            self.deaths += 1
            name = hashlib.sha256(data).hexdigest()[:16]
            LOG.warning("a decoder was lost over a picture of %d bytes (SHA-256 %s…): %s", len(data), name, error)
            raise UnreadableImage from error
        self._give_back(decoder)
        if "error" in told:
            raise _error(told["error"], words["max_pixels"])
        return told, content

    @property
    def is_started(self) -> bool:
        """Whether `start` was called, and `close` was not."""
        return self._host is not None

    @property
    def processes(self) -> list[int]:
        """The decoders that wait for work, by the system's numbers."""
        with self._lock:
            return [decoder.process for decoder in self._idle]

    def start(self) -> None:
        """Begin to start the process that others are copied from, if there is none."""
        with self._lock:
            if self._host is None:
                self._host = _Host(self.module)

    def close(self) -> None:
        """End all that wait; the next picture starts anew."""
        with self._lock:
            idle, self._idle = self._idle, []
            if self._host is not None:
                self._host.close()
                self._host = None
        for decoder in idle:
            decoder.connection.close()

    def _take(self) -> _Decoder:
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.is_there():
                    return decoder
                decoder.connection.close()
            try:
                return self._born()
            except (OSError, struct.error) as error:
                LOG.exception("no decoder can be started")
                raise Busy(retry_after_s=2) from error

    def _born(self) -> _Decoder:
        """A new decoder; where the process to copy has gone, from a new one."""
        if self._host is not None:
            try:
                return self._host.copy()
            except (OSError, struct.error):
                LOG.warning("the process that decoders are copied from has gone, and is started again")
                self._host.close()
        self._host = _Host(self.module)
        return self._host.copy()

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            if len(self._idle) < available_cores():
                self._idle.append(decoder)
                return
        decoder.connection.close()


class _Host:
    """The process that decoders are copies of."""

    def __init__(self, module: str) -> None:
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-m", module, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT, env=environment_of_one_thread()
            )
        self._connection.settimeout(_BIRTH_S)

    def copy(self) -> _Decoder:
        """A new decoder. Raises OSError, or struct.error: it has gone."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._connection, [b"+"], [theirs.fileno()])
            (process,) = struct.unpack("!I", self._connection.recv(4))
        except (OSError, struct.error):
            ours.close()
            raise
        ours.settimeout(PATIENCE_S)
        return _Decoder(process, ours)

    def close(self) -> None:
        """Let it end, and see it end."""
        self._connection.close()
        self._process.wait(_BIRTH_S)


def _error(code: str, max_pixels: int) -> UnsupportedFormat | TooManyPixels | UnreadableImage:
    if code == TooManyPixels.code:
        return TooManyPixels(limit=max_pixels)
    return UnsupportedFormat() if code == UnsupportedFormat.code else UnreadableImage()


POOL = Decoders()
"""This process's own."""
atexit.register(POOL.close)


def decode(data: bytes, *, max_pixels: int, shortest_side: int) -> Picture:
    """As `picture.decode`, in a process of its own once the pool is started. Raises Busy as well."""
    if not POOL.is_started:
        return picture.decode(data, max_pixels=max_pixels, shortest_side=shortest_side)
    words = {"max_pixels": max_pixels, "shortest_side": shortest_side, "transforms": []}
    told, content = POOL.ask(words, data, most=3 * max_pixels)
    with _mistrusted():
        image = Image.frombytes("RGB", (int(told["size"][0]), int(told["size"][1])), content)
        image.info = {EXTENT: tuple(map(float, told["extent"]))} if told["extent"] else {}
        return Picture(image, *_facts(told))


def decode_crop(data: bytes, transform: Transform, *, max_pixels: int) -> Crop:
    """The part of a picture that a network with this transform looks at. Raises as `decode`."""
    if not POOL.is_started:
        found = picture.decode(data, max_pixels=max_pixels, shortest_side=transform.resize)
        pixels = [part.pixels(found.image) for part in transform.parts]
        return Crop(pixels, found.format, found.width, found.height)
    sides = [part.crop for part in transform.parts]
    ends = np.cumsum([3 * side * side for side in sides])
    words = {"max_pixels": max_pixels, "shortest_side": transform.resize,
             "transforms": [part.model_dump_json() for part in transform.parts]}  # fmt: skip
    told, content = POOL.ask(words, data, most=int(ends[-1]))
    with _mistrusted():
        crops = np.split(np.frombuffer(content, np.uint8), ends[:-1])
        return Crop([crop.reshape(side, side, 3) for crop, side in zip(crops, sides, strict=True)], *_facts(told))


def _facts(told: dict[str, Any]) -> tuple[str, int, int]:
    if told["format"] not in picture.FORMATS:
        raise ValueError(told["format"])
    return told["format"], int(told["width"]), int(told["height"])


@contextmanager
def _mistrusted() -> Iterator[None]:
    """What a decoder tells may be what the picture made it tell."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreadableImage from error
