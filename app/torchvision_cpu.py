"""Let torchvision from the package index load beside a CPU-only torch.

That torchvision brings operators compiled against CUDA. A CPU-only torch cannot load them, and the import then fails
because two operators have no schema ("operator torchvision::nms does not exist"). Defining the two schemas is enough:
nothing in Wanwu runs those operators. Import this module before the first `import torchvision`.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def define_missing_schemas() -> None:
    """Load torchvision's compiled operators where they load; define the schemas that are missing after that."""
    spec = find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for library in Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue  # built for CUDA: the schemas below stand in for it
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


define_missing_schemas()
