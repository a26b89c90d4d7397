"""One thread that runs what waits: first come first served, in micro-batches that form only from a queue."""

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.errors import DeadlineExceeded
from app.serving.backbone import Backbone

MAX_BATCH = 8
"""Past this a larger batch gains nothing on a CPU, and makes the first in it wait."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One picture's features `[D]`, the moment its batch began (`time.perf_counter`), and the batch's duration."""

    features: Tensor
    started_s: float
    duration_s: float


@dataclass(slots=True)
class _Waiting:
    backbone: Backbone
    tensor: Tensor
    deadline_s: float
    result: "Future[Inference]" = field(default_factory=Future)


class Batcher:
    """Takes pictures from many threads; a lone one runs at once, those that came meanwhile run together."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, backbone: Backbone, tensor: Tensor, deadline_s: float) -> "Future[Inference]":
        """Queue one picture, float32 `[3, h, w]`; the future fails with DeadlineExceeded when not begun by then."""
        item = _Waiting(backbone, tensor, deadline_s)
        with self._changed:
            self._waiting.append(item)
            self._changed.notify()
        return item.result

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            current = [item for item in batch if self._is_wanted(item)]
            if current:
                self._infer(current)

    def _next_batch(self) -> list[_Waiting]:
        """What is at the head of the queue for one backbone; empty only when closed and drained."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < MAX_BATCH:
                if batch and self._waiting[0].backbone is not batch[0].backbone:
                    break
                batch.append(self._waiting.popleft())
            return batch

    @staticmethod
    def _is_wanted(item: _Waiting) -> bool:
        """Whether its caller still waits: not cancelled, and the deadline not yet past."""
        if not item.result.set_running_or_notify_cancel():
            return False
        if time.perf_counter() > item.deadline_s:
            item.result.set_exception(DeadlineExceeded())
            return False
        return True

    @staticmethod
    def _infer(batch: list[_Waiting]) -> None:
        started = time.perf_counter()
        try:
            features = batch[0].backbone.features(torch.stack([item.tensor for item in batch]))
        except Exception as error:
            for item in batch:
                item.result.set_exception(error)
            return
        duration = time.perf_counter() - started
        for item, row in zip(batch, features, strict=True):
            item.result.set_result(Inference(row, started, duration))
