"""The formats: how a network becomes a file of each, and how such a file is run here.

TorchScript and torch.ao's quantiser are on their way out of torch; `serving/compile.py` and `serving/quantisation.py`
say why they are still used.
"""

import copy
import json
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.errors import ExportError
from app.export.network import WholeNetwork
from app.serving.quantisation import quantised
from app.vision.transform import Transform

Format = Literal["torchscript", "onnx", "int8", "dynamic"]
Forward = Callable[[Tensor], Tensor]

INPUT = "picture"
OUTPUT = "probabilities"
ABOUT = "model.json"
"""The description, beside the model's file; under the same name inside a TorchScript file."""
_ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")


def file_name(format_: Format) -> str:
    """The model's file in an export's folder."""
    return "model.onnx" if format_ == "onnx" else "model.pt"


def require(format_: Format) -> None:
    """Make sure that what the format needs is installed.

    Raises:
        ExportError: it is not.
    """
    missing = [name for name in _ONNX_NEEDS if format_ == "onnx" and find_spec(name) is None]
    if missing:
        raise ExportError(
            f"ONNX needs more than serving ({missing[0]} is missing): pip install -r requirements-export.txt"
        )


def converted(network: WholeNetwork, format_: Format, transform: Transform) -> WholeNetwork:
    """The network in the format's precision; itself for `torchscript` and `onnx`.

    Raises:
        ExportError: this network, or torch on this machine, cannot do it.
    """
    if format_ == "int8":
        try:
            backbone = quantised(network.backbone, transform)
        except Exception as error:  # whatever torch says of a network or a processor that it cannot do this for
            raise ExportError(f"int8 is not to be had for this network on this machine ({error}).") from error
        return WholeNetwork(backbone, network.head, network.temperature).eval()
    if format_ == "dynamic":
        if not any(isinstance(module, nn.Linear) for module in network.modules()):
            raise ExportError("Dynamic quantisation changes linear layers only, and this mode has none.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lower: WholeNetwork = torch.ao.quantization.quantize_dynamic(copy.deepcopy(network), {nn.Linear})
        return lower
    return network


def write(network: WholeNetwork, path: Path, crop: int, about: Mapping[str, Any]) -> None:
    """Write a network to `path`, for any number of pictures at once, with `about` inside: ONNX where it ends so.

    Raises:
        ExportError: the exporter cannot follow this network.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # deprecations that the module's docstring answers, and torch's own
            (_write_onnx if path.suffix == ".onnx" else _write_torchscript)(network, path, crop, about)
    except RuntimeError as error:  # what both exporters raise
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"This network cannot be written as {path.name} ({reason}).") from error


def _write_torchscript(network: WholeNetwork, path: Path, crop: int, about: Mapping[str, Any]) -> None:
    example = torch.zeros(1, 3, crop, crop).to(memory_format=torch.channels_last)
    module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    traced = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))
    torch.jit.save(traced, str(path), _extra_files={ABOUT: json.dumps(about, ensure_ascii=False)})


def _write_onnx(network: WholeNetwork, path: Path, crop: int, about: Mapping[str, Any]) -> None:
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, crop, crop),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch gave no program")
    for key, value in about.items():
        program.model.metadata_props[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    program.save(path, external_data=False)


def open_file(path: Path) -> Forward:
    """What a program without Wanwu has of the file: float32 `[n, 3, crop, crop]` to probabilities `[n, classes]`."""
    return _open_onnx(path) if path.suffix == ".onnx" else _open_torchscript(path)


def _open_torchscript(path: Path) -> Forward:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.load(str(path))

    def forward(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            probabilities: Tensor = network(batch)
            return probabilities

    return forward


def _open_onnx(path: Path) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def forward(batch: Tensor) -> Tensor:
        (probabilities,) = session.run([OUTPUT], {INPUT: batch.contiguous().numpy()})
        return torch.from_numpy(probabilities)

    return forward
