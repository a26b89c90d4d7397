"""A version in shadow: it sees the pictures that another one answers, and nobody waits for it."""

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import RequestError
from app.serving.batching import Answer, decoded
from app.serving.decision import Opinion
from app.serving.mode import Mode, sound

LOG = logging.getLogger(__name__)
MAX_WAITING = 4
"""Pictures that wait for a shadow on another backbone; more are not shown to it."""
_LOWEST_PRIORITY = 19


@dataclass(frozen=True, slots=True)
class Shadow:
    """Who looks on, and who is told of it, once for each picture seen, from a thread of the recogniser.

    `told`: takes the answer, what the shadow thinks of the picture (or its error), and the
    seconds in the network.
    """

    mode: Mode
    told: Callable[[Answer, Opinion | Exception, float], None]

    def look(self, features: Tensor, answer: Answer, features_s: float) -> None:
        """See a picture's features `[width]`, which took `features_s`. Never raises."""
        started = time.perf_counter()
        seen: Opinion | Exception
        try:
            seen = self.mode.opinion(features)
            sound(seen.probabilities)
        except Exception as error:
            seen = error
        self.tell(answer, seen, features_s + time.perf_counter() - started)

    def tell(self, answer: Answer, seen: Opinion | Exception, infer_s: float) -> None:
        """Pass it on. Never raises."""
        try:
            self.told(answer, seen, infer_s)
        except Exception:
            LOG.exception("what the shadow %s saw could not be counted", self.mode.model.version)


class Background:
    """One thread that shows pictures to shadows on backbones of their own: the last to get a core, by the kernel."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._waiting: queue.Queue[tuple[Shadow, bytes, Answer] | None] = queue.Queue(MAX_WAITING)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def show(self, shadow: Shadow, pictures: Iterable[tuple[bytes, Answer | RequestError]]) -> None:
        """Let `shadow` see the pictures that were answered, as many as may wait; returns at once."""
        for data, answer in pictures:
            if isinstance(answer, Answer):
                try:
                    self._waiting.put_nowait((shadow, data, answer))
                except queue.Full:
                    return

    def close(self) -> None:
        """Finish the picture at hand, forget those that wait, and end the thread."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        if sys.platform == "linux":  # there, a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        torch.set_num_threads(1)
        while (one := self._waiting.get()) is not None:
            if not self._closed:
                self._see(*one)
            del one  # an upload may be large

    def _see(self, shadow: Shadow, data: bytes, answer: Answer) -> None:
        """Decode the picture as the shadow's own network takes it, and run that."""
        try:
            picture = decoded(data, shadow.mode, self._max_pixels)
            started = time.perf_counter()
            features = shadow.mode.backbone.features(picture.tensor.unsqueeze(0))[0]
            features_s = time.perf_counter() - started
        except Exception as error:
            shadow.tell(answer, error, 0.0)
        else:
            shadow.look(features, answer, features_s)
