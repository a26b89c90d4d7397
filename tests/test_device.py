"""Where the arithmetic is done, in which precision, and with how much at a time."""

import pytest
import torch

from app.errors import DataError
from app.training import device
from app.training.device import choose_device, fitted


@pytest.mark.parametrize(
    ("cuda", "mps", "kind", "dtype"),
    [(True, False, "cuda", torch.float16), (False, True, "mps", torch.float32), (False, False, "cpu", torch.bfloat16)],
)
def test_the_quickest_device_is_chosen_with_the_precision_that_helps_there(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, kind: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(device, "_multiplies_bfloat16", lambda: True)
    chosen = choose_device()
    assert (chosen.kind, chosen.dtype) == (kind, dtype)


def test_a_processor_without_bfloat16_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_multiplies_bfloat16", lambda: False)
    assert choose_device("cpu").dtype == torch.float32


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match="no device 'cuda'"):
        choose_device("cuda")


def test_float16_needs_cuda() -> None:
    with pytest.raises(DataError, match="needs CUDA"):
        choose_device("cpu", "float16")


def test_bfloat16_is_computed_where_it_was_asked_for() -> None:
    chosen = choose_device("cpu", "bfloat16")
    with chosen.mixed():
        assert (torch.rand(4, 4) @ torch.rand(4, 4)).dtype == torch.bfloat16
    assert not chosen.scaler().is_enabled()


def test_what_does_not_fit_is_halved_until_it_does() -> None:
    said: list[str] = []

    def attempt(size: int) -> int:
        if size > 5:
            raise MemoryError
        return size * 10

    assert fitted(32, attempt, lambda en, zh: said.append(en)) == (40, 4)
    assert len(said) == 3


def test_nothing_fits() -> None:
    def attempt(size: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DataError, match="Not even one"):
        fitted(4, attempt, lambda en, zh: None)


def test_another_failure_is_not_taken_for_want_of_memory() -> None:
    def attempt(size: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        fitted(4, attempt, lambda en, zh: None)
