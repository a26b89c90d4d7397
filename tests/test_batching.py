"""The queue: alone at once, together when there is company, first come first served, never past the deadline."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from app.errors import DeadlineExceeded
from app.serving.batching import MAX_BATCH, Batcher


class SquaringBackbone:
    """A toy: squares its input, remembers its batches, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def features(self, batch: Tensor) -> Tensor:
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append(batch.flatten().tolist())
        if (batch < 0).any():
            raise RuntimeError("negative")
        return batch**2


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    batcher = Batcher()
    yield batcher
    batcher.close()


def later() -> float:
    return time.perf_counter() + 10


def test_a_lone_picture_runs_at_once(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    assert batcher.submit(backbone, torch.tensor([3.0]), later()).result(5).features == 9
    assert backbone.batches == [[3.0]]


def test_what_came_meanwhile_runs_together_in_order(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    backbone.gate.clear()
    futures = [batcher.submit(backbone, torch.tensor([0.0]), later())]
    assert backbone.entered.wait(5)
    futures += [batcher.submit(backbone, torch.tensor([float(n)]), later()) for n in range(1, MAX_BATCH + 3)]
    backbone.gate.set()
    assert [float(future.result(5).features) for future in futures] == [n**2 for n in range(MAX_BATCH + 3)]
    assert [len(batch) for batch in backbone.batches] == [1, MAX_BATCH, 2]


def test_different_backbones_never_share_a_batch_and_keep_their_order(batcher: Batcher) -> None:
    one, two = SquaringBackbone(), SquaringBackbone()
    one.gate.clear()
    futures = [batcher.submit(one, torch.tensor([1.0]), later())]
    assert one.entered.wait(5)
    futures += [batcher.submit(backbone, torch.tensor([2.0]), later()) for backbone in (two, two, one)]
    one.gate.set()
    for future in futures:
        future.result(5)
    assert (one.batches, two.batches) == ([[1.0], [2.0]], [[2.0, 2.0]])


def test_past_its_deadline_a_picture_is_not_computed(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    with pytest.raises(DeadlineExceeded):
        batcher.submit(backbone, torch.tensor([1.0]), time.perf_counter() - 1).result(5)
    assert backbone.batches == []


def test_a_cancelled_picture_is_not_computed(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    backbone.gate.clear()
    first = batcher.submit(backbone, torch.tensor([1.0]), later())
    assert backbone.entered.wait(5)
    second = batcher.submit(backbone, torch.tensor([2.0]), later())
    third = batcher.submit(backbone, torch.tensor([3.0]), later())
    assert second.cancel()
    backbone.gate.set()
    assert (first.result(5).features, third.result(5).features) == (1, 9)
    assert backbone.batches == [[1.0], [3.0]]


def test_a_failing_network_fails_its_callers_and_the_next_is_served(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    with pytest.raises(RuntimeError, match="negative"):
        batcher.submit(backbone, torch.tensor([-1.0]), later()).result(5)
    assert batcher.submit(backbone, torch.tensor([2.0]), later()).result(5).features == 4


def test_closing_finishes_what_waits() -> None:
    batcher, backbone = Batcher(), SquaringBackbone()
    futures = [batcher.submit(backbone, torch.tensor([float(n)]), later()) for n in range(5)]
    batcher.close()
    assert all(future.done() for future in futures)
