"""How many threads torch computes with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread within: what is too small to share out loses by it, on a busy machine a hundredfold.

    A step of a linear head takes a tenth of a millisecond. Shared out, each waits until the slowest thread has had its
    turn of a core.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
