"""Bytes in, probabilities out: the door, the queue, and the clock."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from functools import partial

from torch import Tensor

from app.config import Settings
from app.errors import Busy, DeadlineExceeded, RequestError, TooManyFiles
from app.serving.arms import Arms
from app.serving.batching import Answer, Batcher, Decoded, Engine, decoded
from app.serving.explanation import Explainer
from app.serving.manager import ModelManager
from app.serving.memory import forget_where
from app.serving.mode import Mode
from app.serving.shadow import Background, Shadow

MAX_FILES = 64
"""The most pictures in one request: a bound on memory and on how long one caller can hold the others up."""
_SMOOTHING = 0.1


class Recogniser:
    """The service itself, without HTTP. Safe to call from many threads."""

    def __init__(self, manager: ModelManager, settings: Settings, engine: Engine | None = None) -> None:
        """`engine`: who decodes and runs; this machine's own cores where none is given."""
        self.manager = manager
        self._settings = settings
        self._engine = engine or Batcher(settings.torch_threads)
        self._background = Background(settings.max_pixels)
        self._explainer = Explainer()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._seconds_a_picture = 0.05

    @property
    def in_flight(self) -> int:
        """How many pictures are inside, waiting or running."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many of them wait for a core, decoded or not."""
        return self._engine.waiting

    @property
    def works(self) -> bool:
        """Whether there is still somebody to decode and to run the networks."""
        return self._engine.works

    def mode(self, key: str) -> Mode:
        """As `ModelManager.mode`."""
        return self.manager.mode(key)

    def arms(self, key: str) -> Arms:
        """As `ModelManager.arms`."""
        return self.manager.arms(key)

    def modes(self) -> list[Mode]:
        """As `ModelManager.modes`."""
        return self.manager.modes()

    def recognise(
        self,
        pictures: Sequence[bytes],
        mode: Mode,
        is_wanted: Callable[[], bool] = lambda: True,
        shadow: Shadow | None = None,
    ) -> list[Answer | RequestError]:
        """Recognise pictures in order; one that cannot be read has its error in its place.

        `is_wanted`: whether the caller still waits; once it says no, nothing more is computed. `shadow`: who sees the
        same pictures without a say: at once where it stands on the same backbone, else later, if there is time.

        Raises:
            TooManyFiles: more than `MAX_FILES`. Busy: the queue is full. DeadlineExceeded: no answer in time.
            CallerGone: `is_wanted` said no.
        """
        if len(pictures) > MAX_FILES:
            raise TooManyFiles(limit=MAX_FILES)
        with self._admitted(len(pictures)):
            deadline = time.perf_counter() + self._settings.deadline_s
            look = shadow.look if shadow and shadow.mode.backbone is mode.backbone else None
            waiting = [
                self._engine.submit(
                    mode, partial(decoded, data, mode, self._settings.max_pixels), deadline, is_wanted, look
                )
                for data in pictures
            ]
            outcomes = [_outcome(one, deadline) for one in waiting]
        if shadow and look is None:
            self._background.show(shadow, zip(pictures, outcomes, strict=True))
        return outcomes

    def recognise_tensor(
        self,
        pictures: Tensor,
        mode: Mode,
        is_wanted: Callable[[], bool] = lambda: True,
        shadow: Shadow | None = None,
    ) -> list[Answer | RequestError]:
        """The same for pictures decoded elsewhere: float32 `[n, 3, crop, crop]`, as the mode's transform makes them.

        A shadow on another backbone does not see them: its own network may take other pixels. Raises as `recognise`.
        """
        if len(pictures) > MAX_FILES:
            raise TooManyFiles(limit=MAX_FILES)
        with self._admitted(len(pictures)):
            deadline = time.perf_counter() + self._settings.deadline_s
            look = shadow.look if shadow and shadow.mode.backbone is mode.backbone else None
            waiting = [
                self._engine.submit(mode, partial(_as_decoded, picture), deadline, is_wanted, look)
                for picture in pictures
            ]
            return [_outcome(one, deadline) for one in waiting]

    def explain(
        self,
        mode: Mode,
        asked: Sequence[tuple[Tensor, Sequence[int]]],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> list[Tensor]:
        """Where `mode` looked: for each picture `[3, crop, crop]` with its class indices, maps as `grad_cam` gives.

        Raises:
            Busy, DeadlineExceeded, CallerGone: as `recognise`. NotExplained: the mode's network cannot be read again.
        """
        with self._admitted(len(asked)):
            deadline = time.perf_counter() + self._settings.deadline_s
            return [self._explainer.explain(mode, *one, deadline, is_wanted) for one in asked]

    def close(self) -> None:
        """Let what is inside finish, then stop the threads; `models/` is no longer followed."""
        self.manager.close()
        self._engine.close()
        self._explainer.close()
        self._background.close()

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


def _as_decoded(picture: Tensor) -> Decoded:
    return Decoded(picture, "tensor", width=picture.shape[2], height=picture.shape[1])


def _outcome(waiting: "Future[Answer]", deadline: float) -> Answer | RequestError:
    try:
        return waiting.result(timeout=max(0.0, deadline - time.perf_counter()))
    except RequestError as error:
        forget_where(error)
        return error
    except FutureTimeoutError as error:
        raise DeadlineExceeded from error
