"""Top-k and "unknown"."""

import torch

from app.serving.decision import Opinion, decide


def opinion(probabilities: list[float]) -> Opinion:
    return Opinion(torch.tensor(probabilities), max(probabilities))


def test_the_best_come_first() -> None:
    decision = decide(opinion([0.1, 0.6, 0.3]), threshold=0.5, top_k=2)
    assert [index for index, _ in decision.top] == [1, 2]
    assert not decision.unknown


def test_below_the_threshold_it_is_unknown_and_still_says_what_it_saw() -> None:
    decision = decide(opinion([0.4, 0.6]), threshold=0.61, top_k=3)
    assert decision.unknown
    assert len(decision.top) == 2


def test_at_the_threshold_it_is_known() -> None:
    assert not decide(opinion([0.5, 0.5]), threshold=0.5, top_k=1).unknown


def test_a_mode_of_two_classes_lists_two() -> None:
    assert len(decide(opinion([0.5, 0.5]), threshold=0.0, top_k=3).top) == 2


def test_what_the_threshold_is_compared_with_is_how_sure_the_mode_is_not_the_best_probability() -> None:
    stranger = Opinion(torch.tensor([0.01, 0.99]), sureness=0.2)
    assert decide(stranger, threshold=0.5, top_k=1).unknown
