"""Threads that decode what comes in and run what is decoded: first come first served, never more at once than cores.

A picture takes one core while it is decoded. The network takes one core for a batch while more work waits, and all that
are free when none does, so that a lone picture is answered as soon as may be and a crowd wastes no core.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from app.errors import CallerGone, DeadlineExceeded
from app.serving.decision import Opinion
from app.serving.memory import give_back_freed_memory
from app.serving.mode import Mode
from app.vision.decoders import decode_crop
from app.vision.transform import Pixels

MAX_BATCH = 4
"""Past this a larger batch gains nothing on a CPU, and makes the first in it wait."""


IDLE_S = 5.0
"""After so long without work the memory that the last crowd took is given back, once."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture ready for the network, float32 `[3, crop, crop]`; format and size are the upload's.

    `pixels`: the same as `Transform.joined` takes it, a quarter of the bytes; None where the tensor was sent as it is.
    """

    tensor: Tensor
    format: str
    width: int
    height: int
    pixels: Sequence[Pixels] | None = None


def decoded(data: bytes, mode: Mode, max_pixels: int) -> Decoded:
    """An upload as the mode's network takes it.

    Raises:
        RequestError: it cannot be read; see `decoders.decode`.
    """
    transform = mode.backbone.transform
    crop = decode_crop(data, transform, max_pixels=max_pixels)
    return Decoded(transform.joined(crop.pixels), crop.format, crop.width, crop.height, crop.pixels)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mode thinks of one picture, and where the time went, in seconds."""

    opinion: Opinion
    picture: Decoded
    decode_s: float
    queue_s: float
    infer_s: float


Look = Callable[[Tensor, Answer, float], None]
"""Who looks on: once an answer has left, it is given the picture's features `[width]`, the answer, and the seconds
that the features took. It must not raise."""


class Engine(Protocol):
    """Who decodes pictures and runs them through their modes' networks."""

    def submit(
        self,
        mode: Mode,
        decode: Callable[[], Decoded],
        deadline_s: float,
        is_wanted: Callable[[], bool] = ...,
        look: Look | None = None,
    ) -> "Future[Answer]":
        """Queue one picture; see `Batcher.submit`."""

    @property
    def waiting(self) -> int:
        """How many pictures wait."""

    @property
    def works(self) -> bool:
        """Whether there is still somebody to do it."""

    def close(self) -> None:
        """Finish what waits."""


@dataclass(slots=True, eq=False)
class _Item:
    """One picture on its way through the two queues."""

    mode: Mode
    decode: Callable[[], Decoded]
    deadline_s: float
    is_wanted: Callable[[], bool]
    look: Look | None
    came_s: float
    decode_s: float = 0.0
    picture: Decoded | None = None
    answer: Answer | Exception | None = None
    result: "Future[Answer]" = field(default_factory=Future)

    def drop_if_unwanted(self) -> bool:
        """Whether nobody waits any more: the deadline is past, or the caller has gone. It then has its error."""
        if time.perf_counter() > self.deadline_s:
            self.answer = DeadlineExceeded()
        elif not self.is_wanted():
            self.answer = CallerGone()
        return self.answer is not None

    def leave(self) -> None:
        """Tell the caller."""
        if isinstance(self.answer, Answer):
            self.result.set_result(self.answer)
        else:
            self.result.set_exception(self.answer or RuntimeError("a picture left without an answer"))


@dataclass(slots=True, eq=False)
class _Batch:
    items: list[_Item]
    threads: int
    is_done: bool = False


class Batcher:
    """Takes pictures from many threads; a lone one runs at once, those that came meanwhile run together."""

    def __init__(self, cores: int) -> None:
        self._cores = self._free = cores
        self._undecoded: deque[_Item] = deque()
        self._decoded: deque[_Item] = deque()
        self._leaving: deque[_Batch] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._has_worked = False
        self._threads = [threading.Thread(target=self._work, name=f"core-{n}", daemon=True) for n in range(cores)]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        mode: Mode,
        decode: Callable[[], Decoded],
        deadline_s: float,
        is_wanted: Callable[[], bool] = lambda: True,
        look: Look | None = None,
    ) -> "Future[Answer]":
        """Queue one picture; `deadline_s` is a time of `time.perf_counter`, `look` who looks on.

        The future fails with what `decode` raises, with DeadlineExceeded when the picture is not begun by then, and
        with CallerGone when `is_wanted`, asked before each step, says no.
        """
        item = _Item(mode, decode, deadline_s, is_wanted, look, came_s=time.perf_counter())
        with self._changed:
            self._undecoded.append(item)
            self._changed.notify()
        return item.result

    @property
    def waiting(self) -> int:
        """How many pictures wait for a core, decoded or not."""
        return len(self._undecoded) + len(self._decoded)

    @property
    def works(self) -> bool:
        """Whether all its threads live."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while task := self._next():
            if isinstance(task, _Batch):
                self._infer(task)
            else:
                self._decode(task)

    def _next(self) -> _Item | _Batch | None:
        """What to do now, its cores taken; None once closed and drained.

        Decoding comes first, so that what has come already runs together, until a batch is full.
        """
        with self._changed:
            while True:
                task: _Item | _Batch | None = None
                if self._free and self._undecoded and len(self._decoded) < MAX_BATCH:
                    task = self._undecoded.popleft()
                    self._free -= 1
                elif self._free and self._decoded:
                    task = self._form_batch()
                if task is not None:
                    if self._free and (self._undecoded or self._decoded):
                        self._changed.notify()
                    return task
                if self._closed and self._free == self._cores:
                    self._changed.notify_all()
                    return None
                if not self._changed.wait(IDLE_S) and self._has_worked and self._free == self._cores:
                    self._has_worked = False
                    give_back_freed_memory()

    def _form_batch(self) -> _Batch:
        """What is at the head of the queue for one backbone, and the cores for it."""
        items = [self._decoded.popleft()]
        while self._decoded and len(items) < MAX_BATCH and self._decoded[0].mode.backbone is items[0].mode.backbone:
            items.append(self._decoded.popleft())
        batch = _Batch(items, 1 if self._undecoded or self._decoded else self._free)
        self._free -= batch.threads
        self._leaving.append(batch)
        self._has_worked = True
        return batch

    def _decode(self, item: _Item) -> None:
        started = time.perf_counter()
        try:
            if not item.drop_if_unwanted():
                item.picture = item.decode()
        except Exception as error:
            item.answer = error
        item.decode_s = time.perf_counter() - started
        with self._changed:
            self._free += 1
            if item.picture:
                self._decoded.append(item)
        if not item.picture:
            item.leave()

    def _infer(self, batch: _Batch) -> None:
        started = time.perf_counter()
        wanted: list[tuple[_Item, Decoded]] = []
        looks: list[Callable[[], None]] = []
        try:
            wanted += [(item, item.picture) for item in batch.items if item.picture and not item.drop_if_unwanted()]
            if wanted:
                # OpenMP counts threads for each thread that calls it: this one's count is nobody else's.
                torch.set_num_threads(batch.threads)
                features = wanted[0][0].mode.backbone.features(torch.stack([picture.tensor for _, picture in wanted]))
                features_s = time.perf_counter() - started
                opinions = [_opinion(item.mode, row) for (item, _), row in zip(wanted, features, strict=True)]
                infer_s = time.perf_counter() - started
                for (item, picture), opinion, feature in zip(wanted, opinions, features, strict=True):
                    queue_s = started - item.came_s - item.decode_s
                    if isinstance(opinion, Exception):
                        item.answer = opinion
                        continue
                    item.answer = Answer(opinion, picture, item.decode_s, queue_s, infer_s)
                    if item.look is not None:
                        looks.append(partial(item.look, feature, item.answer, features_s))
        except Exception as error:
            for item in batch.items:
                item.answer = item.answer or error
        self._finish(batch)
        for look in looks:  # a small product each, for which no core is counted
            look()

    def _finish(self, batch: _Batch) -> None:
        """Give the cores back; answers leave in the order of the queue, whichever batch was the quicker."""
        batch.is_done = True
        with self._changed:
            self._free += batch.threads
            while self._leaving and self._leaving[0].is_done:
                for item in self._leaving.popleft().items:
                    item.leave()


def _opinion(mode: Mode, features: Tensor) -> Opinion | Exception:
    """What a mode thinks of one picture's features `[width]`; its failure is its own, whoever else is in the batch."""
    try:
        return mode.opinion(features)
    except Exception as error:
        return error
