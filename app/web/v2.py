"""`/v2…`: the Open Inference Protocol (KServe, Triton), version 2, over HTTP; every mode is a model of its own name."""

import json
import time
from typing import Any

import torch
from flask import Blueprint, Response, current_app, jsonify, request
from torch import Tensor

from app.errors import NotReady, RequestError, UnknownVersion
from app.serving.arms import Arms
from app.serving.batching import Answer
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.web.arms import recognised
from app.web.limits import check_rate
from app.web.parameters import DEFAULT_TOP_K, Parameters, Upload
from app.web.predict import counted
from app.web.schemas_v2 import InferOutput
from app.web.v2_request import HEADER_LENGTH, Inference, read_inference
from app.web.v2_tensors import Output

blueprint = Blueprint("v2", __name__, url_prefix="/v2")

EXTENSIONS = ["binary_tensor_data", "classification"]
PLATFORM = "wanwu"


@blueprint.get("")
def server() -> Response:
    """What this server is."""
    return jsonify({"name": "wanwu", "version": current_app.config["VERSION"], "extensions": EXTENSIONS})


@blueprint.get("/health/live")
def live() -> Response:
    """Alive: touches no model."""
    return jsonify({"live": True})


@blueprint.get("/health/ready")
def ready() -> Response:
    """Ready: as `/readyz`."""
    if not _recogniser().manager.ready:
        raise NotReady(retry_after_s=2)
    return jsonify({"ready": True})


@blueprint.get("/models/<name>/ready")
@blueprint.get("/models/<name>/versions/<version>/ready")
def model_ready(name: str, version: str | None = None) -> Response:
    """Whether the mode serves; what is listed is warm."""
    return jsonify({"name": _arms(name, version).active.key, "ready": True})


@blueprint.get("/models/<name>")
@blueprint.get("/models/<name>/versions/<version>")
def model(name: str, version: str | None = None) -> Response:
    """The tensors that a mode takes and gives."""
    mode = _arms(name, version).active
    transform = mode.backbone.transform
    pixels = {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, transform.crop, transform.crop]}
    return jsonify(
        {
            "name": mode.key,
            "versions": [mode.model.version],
            "platform": PLATFORM,
            "inputs": [
                {**pixels, "parameters": transform.model_dump(mode="json")},
                {"name": "image", "datatype": "BYTES", "shape": [-1]},
            ],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(mode.labels)]},
                {"name": "sureness", "datatype": "FP32", "shape": [-1]},
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
            ],
        }
    )


@blueprint.post("/models/<name>/infer")
@blueprint.post("/models/<name>/versions/<version>/infer")
def infer(name: str, version: str | None = None) -> Response:
    """Recognise the pictures of the request, as `/predict` would; one that cannot be read fails it as a whole."""
    started = time.perf_counter()
    body = (
        request.get_data()
    )  # before anything is refused: Triton's client fails to ask again where its body was left unread
    check_rate()
    arms = _arms(name, version)
    asked = read_inference(request, body, arms.active.backbone.transform)
    if isinstance(asked.pictures, Tensor):
        arms = _that_take_the_same_tensor(arms)
    mode, outcomes = recognised(arms, asked.pictures, asked.threshold)
    uploads = [Upload(None, b"")] * len(outcomes)  # the pictures themselves are no part of what is told
    parameters = Parameters(mode.key, asked.threshold, DEFAULT_TOP_K, explain=False, groups=False)
    content = counted(arms, mode, uploads, outcomes, parameters, started)
    answers = [_sound(place, outcome) for place, outcome in enumerate(outcomes)]
    labels = [result["label"] for result in content["results"]]
    return _written(mode, asked, answers, labels)


def _recogniser() -> Recogniser:
    recogniser: Recogniser = current_app.extensions["recogniser"]
    return recogniser


def _arms(name: str, version: str | None) -> Arms:
    """What may answer for the mode; where a version is named, it is the active one and answers itself.

    Raises:
        NotReady, UnknownMode. UnknownVersion: another serves.
    """
    arms = _recogniser().arms(name)
    if version is None:
        return arms
    if version != arms.active.model.version:
        raise UnknownVersion(mode=arms.active.key, version=version[:80])
    return Arms(arms.active) if arms.splits else arms


def _that_take_the_same_tensor(arms: Arms) -> Arms:
    """Without the version on trial, where it takes other pixels than the active one, which the caller has asked for."""
    transforms = {one.backbone.transform for one in (arms.active, *([arms.contender.mode] if arms.contender else []))}
    return arms if len(transforms) == 1 else Arms(arms.active)


def _sound(place: int, outcome: Answer | RequestError) -> Answer:
    if isinstance(outcome, RequestError):
        outcome.values["picture"] = place
        raise outcome
    return outcome


def _written(mode: Mode, asked: Inference, answers: list[Answer], labels: list[str]) -> Response:
    """The answer: JSON, and behind it the outputs that are wanted as bytes."""
    outputs, behind = [], []
    for wish in asked.outputs:
        told, binary = _output(wish, mode, answers, labels).told(is_binary=asked.wants_binary(wish))
        outputs.append(told)
        behind.append(binary)
    content: dict[str, Any] = {"model_name": mode.key, "model_version": mode.model.version}
    if asked.id is not None:
        content["id"] = asked.id
    content["outputs"] = outputs
    if not any("parameters" in output for output in outputs):
        return jsonify(content)
    head = json.dumps(content, ensure_ascii=False).encode()
    response = Response(b"".join((head, *behind)), mimetype="application/octet-stream")
    response.headers[HEADER_LENGTH] = str(len(head))
    return response


def _output(wish: InferOutput, mode: Mode, answers: list[Answer], labels: list[str]) -> Output:
    opinions = [answer.opinion for answer in answers]
    if wish.name == "label":
        return Output("label", labels, (len(labels),))
    if wish.name == "sureness":
        values = torch.tensor([opinion.sureness for opinion in opinions], dtype=torch.float32).numpy()
        return Output("sureness", values, values.shape)
    probabilities = torch.stack([opinion.probabilities for opinion in opinions])
    if wish.parameters.classification is None:
        values = probabilities.float().numpy()
        return Output("probabilities", values, values.shape)
    best = probabilities.topk(min(wish.parameters.classification, len(mode.labels)))
    texts = [
        f"{confidence:.6f}:{index}:{mode.labels[index].label}"
        for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        for confidence, index in zip(*row, strict=True)
    ]
    return Output("probabilities", texts, tuple(best.indices.shape))
