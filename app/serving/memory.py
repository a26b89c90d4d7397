"""Memory that a load used, given back."""

import ctypes
import gc


def give_back_memory() -> None:
    """After loading: a network leaves 100 MB and more of copies behind, in cycles or freed."""
    gc.collect()
    give_back_freed_memory()


def give_back_freed_memory() -> None:
    """Return freed memory to the operating system, where the C library keeps it for later, as glibc does."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def forget_where(error: BaseException) -> None:
    """Let an error go of where it was raised: of frames that hold the upload, and are held by this in turn.

    Such a ring stays until Python looks for rings, and hostile uploads of 16 MB each do not wait for that.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
