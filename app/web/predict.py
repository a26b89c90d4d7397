"""`POST /predict`, and the same answer for the page's form."""

import time
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request

from app.errors import RequestError
from app.feedback.counts import Sums
from app.registry.catalog import BASE_MODE
from app.serving.arms import Arms
from app.serving.batching import Answer
from app.serving.decision import Decision, decide
from app.serving.groups import GROUP_THRESHOLD, best_group
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.web import metrics
from app.web.arms import count, recognised
from app.web.explanations import add_explanations
from app.web.failures import problem
from app.web.limits import check_rate
from app.web.parameters import Parameters, Upload, read_parameters, read_uploads

blueprint = Blueprint("predict", __name__)

UNKNOWN = {"label": "unknown", "label_short": "unknown", "label_zh": "未知类别"}


@blueprint.post("/predict")
def predict() -> Response:
    """Recognise the pictures of the request."""
    return jsonify(answer_request())


def answer_request() -> dict[str, Any]:
    """The answer to the current request, as `/predict` gives it.

    Raises:
        PublicError: the request cannot be answered; a single bad picture fails as a whole.
    """
    started = time.perf_counter()
    check_rate()
    recogniser: Recogniser = current_app.extensions["recogniser"]
    parameters = read_parameters(request, BASE_MODE)
    arms = recogniser.arms(parameters.mode)
    uploads = read_uploads(request)
    mode, outcomes = recognised(arms, [upload.data for upload in uploads], parameters.threshold)
    return counted(arms, mode, uploads, outcomes, parameters, started)


def counted(
    arms: Arms,
    mode: Mode,
    uploads: list[Upload],
    outcomes: list[Answer | RequestError],
    parameters: Parameters,
    started: float,
) -> dict[str, Any]:
    """As `described`, and counted as what `mode` answered for `arms`. Raises as that."""
    try:
        content = described(mode, uploads, outcomes, parameters, started)
    except RequestError as error:
        metrics.observe_refused(mode, error.code)
        raise
    metrics.observe(mode, content["results"], content["timing_ms"])
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    unknown = sum(result.get("unknown", False) for result in content["results"])
    count(mode, arms.role, Sums(len(answers), unknown, infer_s=sum(answer.infer_s for answer in answers)))
    return content


def described(
    mode: Mode,
    uploads: list[Upload],
    outcomes: list[Answer | RequestError],
    parameters: Parameters,
    started: float,
) -> dict[str, Any]:
    """What `mode` made of the uploads, as `/predict` tells it; `started` is a time of `time.perf_counter`.

    Raises:
        PublicError: there is a single picture, and it is bad.
    """
    if len(outcomes) == 1 and isinstance(outcomes[0], RequestError):
        raise outcomes[0]
    threshold = mode.threshold if parameters.threshold is None else parameters.threshold
    results = [
        _result(upload, outcome, mode, threshold, parameters) for upload, outcome in zip(uploads, outcomes, strict=True)
    ]
    if parameters.explain:
        add_explanations(mode, outcomes, results)
    return {
        "request_id": g.request_id,
        "mode": mode.key,
        "threshold": threshold,
        "model": mode.model.as_dict(),
        "results": results,
        "timing_ms": _timing_ms([outcome for outcome in outcomes if isinstance(outcome, Answer)], started),
    }


def _result(
    upload: Upload, outcome: Answer | RequestError, mode: Mode, threshold: float, parameters: Parameters
) -> dict[str, Any]:
    if isinstance(outcome, RequestError):
        told = problem(outcome)
        return {"filename": upload.filename, "error": {"code": told["code"], "detail": told["detail"]}}
    decision = decide(outcome.opinion, threshold, parameters.top_k)
    top = [_guess(mode, index, confidence) for index, confidence in decision.top]
    picture = outcome.picture
    best = UNKNOWN if decision.unknown else {key: top[0][key] for key in UNKNOWN}
    result = {
        "filename": upload.filename,
        "unknown": decision.unknown,
        **best,
        "confidence": top[0]["confidence"],
        "sureness": round(outcome.opinion.sureness, 6),
        "top": top,
        "image": {"format": picture.format, "width": picture.width, "height": picture.height},
    }
    return {**result, **_level(outcome, mode, threshold, decision)} if parameters.groups else result


def _level(outcome: Answer, mode: Mode, threshold: float, decision: Decision) -> dict[str, Any]:
    """What an answer says more, and otherwise, where the caller takes a group's name for better than none."""
    guess = best_group(outcome.opinion.probabilities, mode.labels)
    group = guess and {
        "label": guess.group,
        "label_zh": guess.group_zh,
        "confidence": round(guess.confidence, 6),
        "threshold": GROUP_THRESHOLD,
    }
    if not decision.unknown:
        return {"level": "class", "group": group}
    if guess is None or not guess.reaches(threshold):
        return {"level": None, "group": group}
    named = {"label": guess.group, "label_short": guess.group, "label_zh": guess.group_zh}
    return {"unknown": False, **named, "confidence": round(guess.confidence, 6), "level": "group", "group": group}


def _guess(mode: Mode, index: int, confidence: float) -> dict[str, Any]:
    label = mode.labels[index]
    return {
        "index": index,
        "label": label.label,
        "label_short": label.label_short,
        "label_zh": label.label_zh,
        "group": label.group,
        "group_zh": label.group_zh,
        "confidence": round(confidence, 6),
    }


def _timing_ms(recognitions: list[Answer], started: float) -> dict[str, float]:
    """Milliseconds by stage: of the slowest picture, where there are several; and of the whole request."""
    stages = {
        "decode": max((one.decode_s for one in recognitions), default=0.0),
        "queue": max((one.queue_s for one in recognitions), default=0.0),
        "infer": max((one.infer_s for one in recognitions), default=0.0),
        "total": time.perf_counter() - started,
    }
    return {stage: round(seconds * 1000, 1) for stage, seconds in stages.items()}
