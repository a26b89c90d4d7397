"""Pictures decoded here and run on a Ray cluster: to its users it is what `serving.batching.Batcher` is."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import ray
import torch
from ray import serve
from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RaySystemError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from app.cluster.replica import NAME, Seen, Sent, model_id
from app.errors import Busy, CallerGone, DeadlineExceeded, ModelError, NotReady
from app.serving.batching import Answer, Decoded, Look
from app.serving.mode import Mode

LOG = logging.getLogger(__name__)

_GONE = (
    RayActorError,
    NodeDiedError,
    ObjectLostError,
    RaySystemError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
"""What is said where a replica, or the machine under it, dies: another is asked."""
_PAUSE_S = 0.1
_REFUSALS = 20


class RayEngine:
    """Takes pictures from many threads. A core decodes, a replica runs; where one dies, the picture goes to another."""

    def __init__(self, cores: int, places: int, address: str) -> None:
        _connect(address)
        self._cores = threading.Semaphore(cores)
        self._threads = ThreadPoolExecutor(places, thread_name_prefix="ray")
        self._handle: DeploymentHandle[Any] | None = None
        self._lock = threading.Lock()
        self._waiting = 0

    def submit(
        self,
        mode: Mode,
        decode: Callable[[], Decoded],
        deadline_s: float,
        is_wanted: Callable[[], bool] = lambda: True,
        look: Look | None = None,
    ) -> "Future[Answer]":
        """As `Batcher.submit`; it also fails with Busy where the cluster's queue is full."""
        with self._lock:
            self._waiting += 1
        future = self._threads.submit(self._answer, mode, decode, deadline_s, is_wanted, look, time.perf_counter())
        future.add_done_callback(self._left)
        return future

    @property
    def waiting(self) -> int:
        """How many pictures wait, for a core here or for the cluster."""
        return self._waiting

    @property
    def works(self) -> bool:
        """Whether the cluster answers, and somebody on it runs networks."""
        try:
            application = serve.status().applications.get(NAME)
        except (RayServeException, RaySystemError, ConnectionError):
            return False
        return application is not None and application.status == "RUNNING"

    def close(self) -> None:
        """Finish what waits. The cluster is left as the process ends."""
        self._threads.shutdown()

    def _left(self, _: "Future[Answer]") -> None:
        with self._lock:
            self._waiting -= 1

    def _answer(
        self,
        mode: Mode,
        decode: Callable[[], Decoded],
        deadline_s: float,
        is_wanted: Callable[[], bool],
        look: Look | None,
        came_s: float,
    ) -> Answer:
        with self._cores:
            _check_wanted(deadline_s, is_wanted)
            started = time.perf_counter()
            picture = decode()
            decode_s = time.perf_counter() - started
        asked = time.perf_counter()
        seen = self._ask(mode, picture, deadline_s, is_wanted)
        features = torch.from_numpy(seen.features.copy())
        hop_s = time.perf_counter() - asked - seen.infer_s
        answer = Answer(mode.opinion(features), picture, decode_s, started - came_s + hop_s, seen.infer_s)
        if look is not None:
            with suppress(RuntimeError):  # closing: the answer goes before who looks on
                self._threads.submit(partial(look, features, answer, seen.infer_s))
        return answer

    def _ask(self, mode: Mode, picture: Decoded, deadline_s: float, is_wanted: Callable[[], bool]) -> Seen:
        """Ask a replica, and another where it dies, for as long as there is time and somebody waits."""
        sent = list(picture.pixels) if picture.pixels is not None else picture.tensor.numpy()
        refusals = 0
        while True:
            _check_wanted(deadline_s, is_wanted)
            try:
                return self._asked(mode, sent, deadline_s)
            except BackPressureError as error:
                raise Busy(retry_after_s=1) from error
            except TimeoutError as error:
                raise DeadlineExceeded from error
            except ModelError as error:  # what was promoted here a moment ago may be on its way there
                refusals += 1
                if refusals == _REFUSALS:
                    LOG.warning("the cluster refuses %s %s: %s", mode.key, mode.model.version, error)
                    raise NotReady(retry_after_s=5) from error
                time.sleep(_PAUSE_S)
            except _GONE:
                self._handle = None
                time.sleep(_PAUSE_S)

    def _asked(self, mode: Mode, sent: Sent, deadline_s: float) -> Seen:
        # By value, over gRPC: a detour over Ray's store of objects would cost several milliseconds more.
        handle = self._deployed().options(multiplexed_model_id=model_id(mode), _by_reference=False)
        seen: Seen = handle.remote(sent).result(timeout_s=max(0.01, deadline_s - time.perf_counter()))
        return seen

    def _deployed(self) -> DeploymentHandle[Any]:
        """Raises NotReady: nobody has deployed the networks."""
        if self._handle is None:
            try:
                self._handle = serve.get_app_handle(NAME)
            except RayServeException as error:
                raise NotReady(retry_after_s=5) from error
        return self._handle


def _connect(address: str) -> None:
    """Join the cluster. gunicorn's handlers stay, which let requests end first: Ray's own leave at once."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    ray.init(address=address, namespace=NAME, log_to_driver=False, ignore_reinit_error=True)
    if threading.current_thread() is threading.main_thread():
        for number, handler in kept.items():
            signal.signal(number, handler)


def _check_wanted(deadline_s: float, is_wanted: Callable[[], bool]) -> None:
    """Raises DeadlineExceeded, CallerGone."""
    if time.perf_counter() > deadline_s:
        raise DeadlineExceeded
    if not is_wanted():
        raise CallerGone
