"""Where the arithmetic is done, how exactly, and how much of it fits into memory at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from app.errors import DataError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is "cpu", "cuda" or "mps"; `dtype` is that of the mixed precision's lower half, float32 for none."""

    kind: str
    dtype: torch.dtype

    @contextmanager
    def mixed(self) -> Iterator[None]:
        """Within it, what bears it is computed in `dtype`."""
        if self.dtype == torch.float32:
            yield
            return
        with torch.autocast(self.kind, self.dtype):
            yield

    def scaler(self) -> torch.amp.GradScaler:
        """Keeps small float16 gradients from vanishing; does nothing in any other precision."""
        return torch.amp.GradScaler(self.kind, enabled=self.dtype == torch.float16)

    def put(self, tensor: Tensor) -> Tensor:
        """The tensor, there; batches of pictures channels-last, which convolutions are quickest on."""
        layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format  # noqa: PLR2004
        return tensor.to(self.kind, memory_format=layout)


def choose_device(wanted: str = "auto", precision: str = "auto") -> Device:
    """The device wanted; "auto": CUDA, else Apple's MPS, else the CPU.

    "auto" precision is float16 on CUDA (its tensor cores), bfloat16 on a CPU that multiplies it in hardware (elsewhere
    it is slower than float32), else float32.

    Raises:
        DataError: the device wanted is not here.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = next(name for name in here if here[name]) if wanted == "auto" else wanted
    if not here[kind]:
        raise DataError(f"There is no device '{kind}' on this machine: leave the option out, or choose cpu.")
    if precision == "auto":
        precision = {"cuda": "float16", "cpu": "bfloat16" if _multiplies_bfloat16() else "float32"}.get(kind, "float32")
    if precision == "float16" and kind != "cuda":
        raise DataError("The precision float16 needs CUDA: choose bfloat16, float32, or leave the option out.")
    return Device(kind, getattr(torch, precision))


def fitted(batch_size: int, attempt: Callable[[int], Result], say: Callable[[str, str], None]) -> tuple[Result, int]:
    """`attempt(size)` with the first of batch_size, batch_size / 2, … that fits into memory, and that size.

    Raises:
        DataError: not even one picture at a time fits.
    """
    while True:
        try:
            return attempt(batch_size), batch_size
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if batch_size == 1:
                raise DataError("Not even one picture at a time fits into memory.") from error
        # Outside `except`: the exception's traceback would keep the failed attempt's tensors alive.
        batch_size = max(batch_size // 2, 1)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(
            f"Memory does not suffice: going on with {batch_size} pictures at a time.",
            f"内存不足，改为每次处理 {batch_size} 张照片。",
        )


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in ("not enough memory", "can't allocate memory", "out of memory")
    )


def _multiplies_bfloat16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
