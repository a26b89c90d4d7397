"""The queue: alone at once, together when there is company, first come first served, never past the deadline."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.errors import CallerGone, DeadlineExceeded, UnreadableImage
from app.serving import batching
from app.serving.batching import MAX_BATCH, Answer, Batcher, Decoded
from app.serving.decision import Opinion


class SquaringBackbone:
    """A toy: squares its input, remembers its batches, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.threads: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def features(self, batch: Tensor) -> Tensor:
        self.entered.set()
        assert self.gate.wait(10)
        self.threads.append(torch.get_num_threads())
        self.batches.append(batch.flatten().tolist())
        if (batch < 0).any():
            raise RuntimeError("negative")
        return batch**2


@pytest.fixture(params=[1, 2, 5])
def batcher(request: pytest.FixtureRequest) -> Iterator[Batcher]:
    batcher = Batcher(request.param)
    yield batcher
    batcher.close()


def submit(
    batcher: Batcher,
    backbone: SquaringBackbone,
    value: float,
    deadline: float | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
    decode_gate: threading.Event | None = None,
) -> "Future[Answer]":
    """Queue a picture of one value, for a mode that answers with the features as they are."""
    mode: Any = SimpleNamespace(backbone=backbone, opinion=lambda features: Opinion(features, 1.0))

    def decode() -> Decoded:
        assert decode_gate is None or decode_gate.wait(10)
        return Decoded(torch.tensor([value]), "PNG", 1, 1)

    return batcher.submit(mode, decode, later() if deadline is None else deadline, is_wanted)


def answer(future: "Future[Answer]") -> float:
    return float(future.result(5).opinion.probabilities)


def later() -> float:
    return time.perf_counter() + 10


def test_a_lone_picture_runs_at_once(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    assert answer(submit(batcher, backbone, 3.0)) == 9
    assert backbone.batches == [[3.0]]


def test_what_came_meanwhile_runs_together_in_order() -> None:
    batcher, backbone = Batcher(1), SquaringBackbone()
    backbone.gate.clear()
    futures = [submit(batcher, backbone, 0.0)]
    assert backbone.entered.wait(5)
    futures += [submit(batcher, backbone, float(n)) for n in range(1, MAX_BATCH + 3)]
    backbone.gate.set()
    assert [answer(future) for future in futures] == [n**2 for n in range(MAX_BATCH + 3)]
    assert [len(batch) for batch in backbone.batches] == [1, MAX_BATCH, 2]
    batcher.close()


def test_different_backbones_never_share_a_batch_and_keep_their_order() -> None:
    batcher, one, two = Batcher(1), SquaringBackbone(), SquaringBackbone()
    one.gate.clear()
    futures = [submit(batcher, one, 1.0)]
    assert one.entered.wait(5)
    futures += [submit(batcher, backbone, 2.0) for backbone in (two, two, one)]
    one.gate.set()
    batcher.close()
    assert [answer(future) for future in futures] == [1, 4, 4, 4]
    assert (one.batches, two.batches) == ([[1.0], [2.0]], [[2.0, 2.0]])


def test_a_lone_picture_has_every_core_and_pictures_in_company_one_each() -> None:
    batcher, backbone = Batcher(2), SquaringBackbone()
    backbone.gate.clear()
    futures = [submit(batcher, backbone, 1.0)]
    assert backbone.entered.wait(5)
    futures += [submit(batcher, backbone, 2.0) for _ in range(2 * MAX_BATCH)]
    backbone.gate.set()
    assert [answer(future) for future in futures] == [1] + [4] * 2 * MAX_BATCH
    batcher.close()
    assert backbone.threads[0] == 2
    assert backbone.threads[1] == 1


def test_never_more_is_done_at_once_than_there_are_cores() -> None:
    batcher, backbone, lock = Batcher(2), SquaringBackbone(), threading.Lock()
    busy, most = 0, 0

    def decode() -> Decoded:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.002)
        with lock:
            busy -= 1
        return Decoded(torch.tensor([1.0]), "PNG", 1, 1)

    mode = SimpleNamespace(backbone=backbone, opinion=lambda features: Opinion(features, 1.0))
    futures = [batcher.submit(mode, decode, later()) for _ in range(40)]
    assert {answer(future) for future in futures} == {1}
    batcher.close()
    assert most == 2


def test_answers_leave_in_the_order_of_the_queue_though_a_later_batch_is_done_first() -> None:
    batcher, slow, quick = Batcher(2), SquaringBackbone(), SquaringBackbone()
    left: list[str] = []
    # Three at once: while the third is still to be decoded, the first two get one core each.
    third = threading.Event()
    slow.gate.clear()
    holding = [submit(batcher, SquaringBackbone(), 0.0, decode_gate=third) for _ in range(2)]
    first, second = submit(batcher, slow, 1.0), submit(batcher, quick, 2.0)
    more = [submit(batcher, quick, 3.0) for _ in range(MAX_BATCH)]
    first.add_done_callback(lambda _: left.append("first"))
    second.add_done_callback(lambda _: left.append("second"))
    third.set()
    assert quick.entered.wait(5)
    time.sleep(0.05)
    assert left == []
    slow.gate.set()
    assert (answer(first), answer(second)) == (1, 4)
    assert left == ["first", "second"]
    assert {answer(one) for one in (*holding, *more)} == {0, 9}
    batcher.close()


def test_past_its_deadline_a_picture_is_not_computed(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    with pytest.raises(DeadlineExceeded):
        answer(submit(batcher, backbone, 1.0, deadline=time.perf_counter() - 1))
    assert backbone.batches == []


def test_whose_caller_has_gone_is_neither_decoded_nor_computed(batcher: Batcher) -> None:
    backbone, decoded = SquaringBackbone(), []
    mode = SimpleNamespace(backbone=backbone, opinion=lambda features: Opinion(features, 1.0))
    gone = batcher.submit(mode, lambda: decoded.append(1), later(), is_wanted=lambda: False)
    with pytest.raises(CallerGone):
        gone.result(5)
    there = iter([True, False])
    with pytest.raises(CallerGone):
        answer(submit(batcher, backbone, 1.0, is_wanted=lambda: next(there)))
    assert (decoded, backbone.batches) == ([], [])


def test_what_cannot_be_decoded_fails_its_own_caller_only(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    mode = SimpleNamespace(backbone=backbone)

    def broken() -> Decoded:
        raise UnreadableImage

    failed, fine = batcher.submit(mode, broken, later()), submit(batcher, backbone, 2.0)
    with pytest.raises(UnreadableImage):
        failed.result(5)
    assert answer(fine) == 4


def test_a_failing_network_fails_its_callers_and_the_next_is_served(batcher: Batcher) -> None:
    backbone = SquaringBackbone()
    with pytest.raises(RuntimeError, match="negative"):
        answer(submit(batcher, backbone, -1.0))
    assert answer(submit(batcher, backbone, 2.0)) == 4


def test_closing_finishes_what_waits() -> None:
    batcher, backbone = Batcher(2), SquaringBackbone()
    futures = [submit(batcher, backbone, float(n)) for n in range(5)]
    batcher.close()
    assert all(future.done() for future in futures)


def test_after_a_while_without_work_memory_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(batching, "IDLE_S", 0.05)
    monkeypatch.setattr(batching, "give_back_freed_memory", lambda: given_back.append(1))
    batcher, backbone = Batcher(2), SquaringBackbone()
    time.sleep(0.2)
    assert given_back == [], "there was no work yet"
    assert answer(submit(batcher, backbone, 2.0)) == 4
    deadline = time.monotonic() + 20
    while not given_back and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert given_back == [1]
    batcher.close()


def test_while_a_lone_picture_has_every_core_nothing_is_decoded() -> None:
    batcher, backbone, decoded = Batcher(2), SquaringBackbone(), threading.Event()
    backbone.gate.clear()
    first = submit(batcher, backbone, 1.0)
    assert backbone.entered.wait(5)
    mode: Any = SimpleNamespace(backbone=backbone, opinion=lambda features: Opinion(features, 1.0))

    def decode() -> Decoded:
        decoded.set()
        return Decoded(torch.tensor([2.0]), "PNG", 1, 1)

    second = batcher.submit(mode, decode, later())
    assert not decoded.wait(0.1)
    backbone.gate.set()
    assert (answer(first), answer(second)) == (1, 4)
    batcher.close()


@pytest.mark.parametrize("asked_before", [0, 1])
def test_a_question_that_fails_costs_its_own_caller_and_no_thread(asked_before: int) -> None:
    batcher, backbone, asked = Batcher(1), SquaringBackbone(), iter(range(9))

    def is_wanted() -> bool:
        if next(asked) == asked_before:
            raise RuntimeError("no such connection")
        return True

    with pytest.raises(RuntimeError, match="no such connection"):
        answer(submit(batcher, backbone, 1.0, is_wanted=is_wanted))
    assert answer(submit(batcher, backbone, 2.0)) == 4
    batcher.close()


def test_a_failing_head_fails_its_own_caller_only_though_another_s_picture_is_in_its_batch() -> None:
    batcher, backbone = Batcher(1), SquaringBackbone()
    backbone.gate.clear()
    first = submit(batcher, backbone, 1.0)
    assert backbone.entered.wait(5)

    def broken(features: Tensor) -> Tensor:
        raise RuntimeError("broken head")

    mode: Any = SimpleNamespace(backbone=backbone, opinion=broken)
    failed = batcher.submit(mode, lambda: Decoded(torch.tensor([2.0]), "PNG", 1, 1), later())
    fine = submit(batcher, backbone, 3.0)
    backbone.gate.set()
    with pytest.raises(RuntimeError, match="broken head"):
        failed.result(5)
    assert (answer(first), answer(fine)) == (1, 9)
    assert backbone.batches == [[1.0], [2.0, 3.0]]
    batcher.close()


def test_who_looks_on_gets_the_features_once_the_answer_has_left(batcher: Batcher) -> None:
    backbone, seen, future = SquaringBackbone(), [], Future[Answer]()
    mode: Any = SimpleNamespace(backbone=backbone, opinion=lambda features: Opinion(features, 1.0))
    looked = threading.Event()

    def look(features: Tensor, told: Answer, features_s: float) -> None:
        assert submitted.wait(5)
        seen.append((features.tolist(), told is future.result(0), features_s > 0))
        looked.set()

    submitted = threading.Event()
    future = batcher.submit(mode, lambda: Decoded(torch.tensor([3.0]), "PNG", 1, 1), later(), look=look)
    submitted.set()
    assert looked.wait(5)
    assert seen == [([9.0], True, True)]
