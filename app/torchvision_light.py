"""Import torchvision without torch's compiler, which it would load to ask one question that nobody asks here.

The compiler takes 0.8 s of a start on a quick machine, two on a slow one, and 80 MB. Only torchvision's `roi_align`, an
operator of detectors, asks it. Import this module before the first `import torchvision`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import app.torchvision_cpu  # noqa: F401

_COMPILER = "torch._dynamo"


@contextmanager
def compiler_left_out() -> Iterator[None]:
    """Within it, who imports the compiler's `is_compile_supported` gets one that says no."""
    if _COMPILER in sys.modules:
        yield
        return
    package, utilities = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    package.__path__ = []
    utilities.is_compile_supported = lambda device: False  # type: ignore[attr-defined]
    stand_ins = {_COMPILER: package, f"{_COMPILER}.utils": utilities}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


with compiler_left_out():
    import torchvision  # noqa: F401
