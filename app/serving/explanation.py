"""Where a mode looked, for those who ask: computed apart from the recognitions, behind them, one at a time."""

import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from app.errors import CallerGone, DeadlineExceeded, ServiceError, WanwuError
from app.serving.backbone import Backbone
from app.serving.compile import taking_apart
from app.serving.ensemble import parts_of
from app.serving.mode import Mode
from app.vision.grad_cam import grad_cam, mean_of_maps
from app.vision.networks import fingerprint

KEPT = 2
"""Networks that are kept for the next question, those last asked for. Each is as large as what serves."""
_NICE = 10
"""Beside a crowd that is recognised, an explanation has about a tenth of a core."""


class NotExplained(ServiceError):
    status, code = 503, "not_explained"
    sentence_en = "Where the network looked cannot be told: its weights are no longer where they were."
    sentence_zh = "无法显示关注区域：模型的权重文件已不在原处。"


class Explainer:
    """Grad-CAM of what is served. What serves is compiled and has no gradients, in int8 not even its own numbers: so
    the plain float32 network is read again, when first asked for. Safe to call from many threads."""

    def __init__(self) -> None:
        self._networks: OrderedDict[str, nn.Module] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "explainer", _step_back)  # which begins with the first question

    def explain(
        self, mode: Mode, picture: Tensor, classes: Sequence[int], deadline_s: float, is_wanted: Callable[[], bool]
    ) -> Tensor:
        """As `grad_cam`, of the mode's float32 network; `deadline_s` is a time of `time.perf_counter`.

        Raises:
            DeadlineExceeded: not done by then. CallerGone: `is_wanted`, asked before it begins, said no.
            NotExplained: the network cannot be read any more.
        """
        waiting = self._thread.submit(self._explain, mode, picture, classes, deadline_s, is_wanted)
        try:
            return waiting.result(timeout=_left(deadline_s))
        except TimeoutError as error:
            waiting.cancel()
            raise DeadlineExceeded from error

    def close(self) -> None:
        """Finish the one at hand, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _explain(
        self, mode: Mode, picture: Tensor, classes: Sequence[int], deadline_s: float, is_wanted: Callable[[], bool]
    ) -> Tensor:
        if not is_wanted():
            raise CallerGone
        if not taking_apart.acquire(timeout=_left(deadline_s)):
            raise DeadlineExceeded
        try:
            parts = parts_of(mode, picture)
            maps = [grad_cam(self._network(one.backbone), one.evidence, one.picture, classes) for one in parts]
            return mean_of_maps(maps, [one.weight for one in parts])
        finally:
            taking_apart.release()

    def _network(self, backbone: Backbone) -> nn.Module:
        """The plain network that `backbone` was compiled from."""
        network = self._networks.get(backbone.fingerprint)
        if network is None:
            network = _read(backbone)
            self._networks[backbone.fingerprint] = network
            if len(self._networks) > KEPT:
                self._networks.popitem(last=False)
        self._networks.move_to_end(backbone.fingerprint)
        return network


def _read(backbone: Backbone) -> nn.Module:
    if backbone.read_again is None:
        raise NotExplained
    try:
        network = backbone.read_again()
    except (WanwuError, OSError) as error:
        raise NotExplained from error
    if fingerprint(network.state_dict()) != backbone.fingerprint:
        raise NotExplained
    return network


def _left(deadline_s: float) -> float:
    return max(0.0, deadline_s - time.perf_counter())


def _step_back() -> None:
    if sys.platform == "linux":  # there, a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    torch.set_num_threads(1)
