"""ONNX Runtime and OpenVINO, each in the simplest honest server: Flask, gunicorn's threads, torchvision's transforms.

Both run with the settings that they choose themselves. `bench/contenders.py` starts them.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from PIL import Image
from torch import Tensor, nn

from bench.reference import answer, load, weights_here

Forward = Callable[[Tensor], Tensor]
SHAPE = (1, 3, 224, 224)
EXAMPLE = torch.zeros(SHAPE)


def create_server(runtime: str) -> Flask:
    """A Flask app with one route, `POST /predict`; `runtime` is "onnxruntime" or "openvino"."""
    app = Flask(__name__)
    network, transform = load(weights_here())
    forward, precision = {"onnxruntime": _onnx_runtime, "openvino": _openvino}[runtime](network)
    forward(EXAMPLE)

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        return jsonify(status="ready", model={"precision": precision})

    @app.post("/predict")
    def predict() -> ResponseReturnValue:
        image = Image.open(request.files["file"].stream).convert("RGB")
        return jsonify(answer(torch.softmax(forward(transform(image).unsqueeze(0))[0], dim=0)))

    return app


def _onnx_runtime(network: nn.Module) -> tuple[Forward, str]:
    """One session, which many threads may call at once."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet18.onnx"
        torch.onnx.export(network, (EXAMPLE,), path, input_names=["input"], dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(None, {"input": batch.numpy()})[0]), "float32"


def _openvino(network: nn.Module) -> tuple[Forward, str]:
    """A compiled model with a request for each thread, as one request answers one caller at a time."""
    import openvino

    compiled = openvino.compile_model(openvino.convert_model(network, example_input=EXAMPLE, input=SHAPE), "CPU")
    names = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    mine = threading.local()

    def forward(batch: Tensor) -> Tensor:
        if not hasattr(mine, "request"):
            mine.request = compiled.create_infer_request()
        return torch.from_numpy(mine.request.infer([batch.numpy()])[0])

    return forward, names.get(precision, precision)
