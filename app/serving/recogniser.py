"""Bytes in, probabilities out: the door, the decoding pool, the queue, and the clock."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from app.config import Settings, available_cores
from app.errors import Busy, DeadlineExceeded, RequestError, TooManyFiles
from app.serving.batching import Batcher, Inference
from app.serving.manager import ModelManager
from app.serving.mode import Mode
from app.vision.picture import decode

MAX_FILES = 64
"""The most pictures in one request: a bound on memory and on how long one caller can hold the others up."""
_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class Recognition:
    """One picture's answer: `probabilities` [classes]; the sizes are the original's; the times are in seconds."""

    probabilities: Tensor
    format: str
    width: int
    height: int
    decode_s: float
    queue_s: float
    infer_s: float


@dataclass(frozen=True, slots=True)
class _Decoded:
    format: str
    width: int
    height: int
    waited_s: float
    decode_s: float
    finished_s: float
    inference: "Future[Inference]"


class Recogniser:
    """The service itself, without HTTP. Safe to call from many threads."""

    def __init__(self, manager: ModelManager, settings: Settings) -> None:
        self.manager = manager
        self._settings = settings
        self._batcher = Batcher()
        self._decoders = ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder")
        self._lock = threading.Lock()
        self._in_flight = 0
        self._seconds_a_picture = 0.05

    @property
    def in_flight(self) -> int:
        """How many pictures are inside, waiting or running."""
        return self._in_flight

    def mode(self, key: str) -> Mode:
        """As `ModelManager.mode`."""
        return self.manager.mode(key)

    def modes(self) -> list[Mode]:
        """As `ModelManager.modes`."""
        return self.manager.modes()

    def recognise(self, pictures: Sequence[bytes], mode: Mode) -> list[Recognition | RequestError]:
        """Recognise pictures in order; one that cannot be read has its error in its place.

        Raises:
            TooManyFiles: more than `MAX_FILES`. Busy: the queue is full. DeadlineExceeded: no answer in time.
        """
        if len(pictures) > MAX_FILES:
            raise TooManyFiles(limit=MAX_FILES)
        with self._admitted(len(pictures)):
            submitted = time.perf_counter()
            deadline = submitted + self._settings.deadline_s
            decoding = [self._decoders.submit(self._decode, data, mode, submitted, deadline) for data in pictures]
            try:
                return [self._answer(one, mode, deadline) for one in decoding]
            finally:
                for one in decoding:
                    one.cancel()

    def close(self) -> None:
        """Let what is inside finish, then stop the threads; `models/` is no longer followed."""
        self.manager.close()
        self._decoders.shutdown()
        self._batcher.close()

    @contextmanager
    def _admitted(self, count: int) -> Iterator[None]:
        """Count pictures in and out; refuse at the door, before anything is spent on them."""
        with self._lock:
            if self._in_flight >= self._settings.max_queue:
                raise Busy(retry_after_s=max(1, math.ceil(self._in_flight * self._seconds_a_picture)))
            self._in_flight += count
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                shared_by = max(self._in_flight, 1)
                self._in_flight -= count
                took = (time.perf_counter() - started) / shared_by
                self._seconds_a_picture += _SMOOTHING * (took - self._seconds_a_picture)

    def _decode(self, data: bytes, mode: Mode, submitted: float, deadline: float) -> _Decoded:
        """Runs in the pool: bytes to a tensor, straight on into the queue."""
        started = time.perf_counter()
        if started > deadline:
            raise DeadlineExceeded
        transform = mode.backbone.transform
        picture = decode(data, max_pixels=self._settings.max_pixels, shortest_side=transform.resize)
        tensor = transform(picture.image)
        finished = time.perf_counter()
        inference = self._batcher.submit(mode.backbone, tensor, deadline)
        return _Decoded(
            picture.format, picture.width, picture.height, started - submitted, finished - started, finished, inference
        )

    @staticmethod
    def _answer(decoding: "Future[_Decoded]", mode: Mode, deadline: float) -> Recognition | RequestError:
        try:
            decoded = decoding.result(timeout=max(0.0, deadline - time.perf_counter()))
            inference = decoded.inference.result(timeout=max(0.0, deadline - time.perf_counter()))
        except RequestError as error:
            return error
        except FutureTimeoutError as error:
            if decoding.done() and not decoding.cancelled() and decoding.exception() is None:
                decoding.result().inference.cancel()
            raise DeadlineExceeded from error
        return Recognition(
            probabilities=mode.probabilities(inference.features.unsqueeze(0))[0],
            format=decoded.format,
            width=decoded.width,
            height=decoded.height,
            decode_s=decoded.decode_s,
            queue_s=decoded.waited_s + inference.started_s - decoded.finished_s,
            infer_s=inference.duration_s,
        )
