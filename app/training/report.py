"""The report of a version as plain facts, and the files that travel with the version."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.config import available_cores
from app.photos.findings import Finding
from app.training.evaluation import evaluate
from app.training.outcome import Outcome, Predictions

REPORT_JSON = "report.json"
REPORT_HTML = "report.html"
MAX_MISTAKES = 12
MAX_CONFUSIONS = 20
_CURVE_STEPS = 50

_REASONS = (
    (r"no gain in validation loss for (\d+) epochs", r"验证损失连续 \1 轮没有改善"),
    (r"no gain in validation accuracy for (\d+) epochs", r"验证准确率连续 \1 轮没有提高"),
    (r"all (\d+) epochs done", r"\1 轮全部完成"),
    (r"interrupted; the best so far was kept", "训练被中断，保留了此前最好的结果"),
    (r"fitted in one step", "一步拟合完成"),
    (r"put together, not trained", "由已有模型组合而成，未经训练"),
    (r"; the best was epoch (\d+)", r"，最好的是第 \1 轮"),
    (r"\.$", "。"),
)

Facts = dict[str, Any]
"""What `report_json` returns: everything in it is JSON."""


def report_files(outcome: Outcome, *, max_pixels: int, private: Path | None = None) -> dict[str, bytes]:
    """The report as JSON and as a page, by file name, for `write_version`.

    Pictures over `max_pixels` are left out, and so are those in the folder `private`: their frames stay empty.
    """
    from app.training.page import report_html

    facts = report_json(outcome)
    pictures = [path for path, _, _, _ in _mistakes(_judged(outcome))]
    text = json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
    shown = [None if private and path.is_relative_to(private) else path for path in pictures]
    page = report_html(facts, shown, max_pixels=max_pixels)
    return {REPORT_JSON: text.encode(), REPORT_HTML: page.encode()}


def report_json(outcome: Outcome) -> Facts:
    """All that the terminal and the page say of a version, as JSON. Shares are between 0 and 1, times in seconds."""
    manifest = outcome.manifest
    return {
        "format": 1,
        "mode": outcome.mode,
        "version": outcome.version,
        "created": manifest.created.isoformat(),
        "title": manifest.title.model_dump(),
        "labels": [label.model_dump() for label in manifest.labels],
        "network": manifest.backbone.model_dump(),
        "options": manifest.options,
        "data": _data(outcome),
        "findings": [_finding(finding) for finding in outcome.findings],
        "history": [asdict(record) for record in outcome.history],
        "stopped_because": {"en": outcome.stopped_because, "zh": in_chinese(outcome.stopped_because)},
        "judged_on": "test" if outcome.test else "validation",
        "validation": _figures(outcome.validation, outcome),
        "test": _figures(outcome.test, outcome) if outcome.test else None,
        "calibration": _calibration(outcome),
        "threshold": _threshold(outcome),
        "unknown": _unknown(outcome),
        "confusions": common_confusions(_judged(outcome)),
        "mistakes": [
            {"file": short(path), "truth": truth, "answer": answer, "confidence": confidence}
            for path, truth, answer, confidence in _mistakes(_judged(outcome))
        ],
        "cost": {
            "seconds": outcome.seconds,
            "peak_memory_mb": outcome.peak_memory_mb,
            "epochs": len(outcome.history),
            "cores": available_cores(),
            "torch": torch.__version__,
        },
        "command": outcome.command,
        **({"ensemble": outcome.ensemble} if outcome.ensemble else {}),
        "search": outcome.search,
        "smaller": outcome.smaller,
    }


def short(path: Path) -> str:
    """A photo's folder and name: enough to find it, and no more of the machine than that."""
    return "/".join(path.parts[-2:])


def common_confusions(predictions: Predictions) -> list[Facts]:
    """The commonest confusions: how many pictures of which class were taken for which, most first."""
    answers = predictions.probabilities.argmax(dim=1)
    pairs = Counter(zip(predictions.labels.tolist(), answers.tolist(), strict=True))
    wrong = sorted((-count, *pair) for pair, count in pairs.items() if pair[0] != pair[1])
    return [{"count": -count, "truth": truth, "answer": answer} for count, truth, answer in wrong[:MAX_CONFUSIONS]]


def threshold_cost(predictions: Predictions, threshold: float) -> Facts:
    """What `threshold` costs on known photos: the share of them called unknown, and of the names left, those right."""
    named, right = _named(predictions, threshold)
    return {"value": threshold, "called_unknown": 1 - named, "right_of_named": right}


def in_chinese(reason: str) -> str:
    """Why a run stopped, in Chinese: the parts that the loop composes its reasons of."""
    for pattern, chinese in _REASONS:
        reason = re.sub(pattern, chinese, reason, flags=re.IGNORECASE)
    return reason


def _judged(outcome: Outcome) -> Predictions:
    return outcome.test or outcome.validation


def _data(outcome: Outcome) -> Facts:
    classes = len(outcome.dataset.classes)
    counts = {
        part: [sum(sample.label == label for sample in samples) for label in range(classes)]
        for part, samples in (
            ("train", outcome.dataset.train),
            ("validation", outcome.dataset.validation),
            ("test", outcome.dataset.test),
        )
    }
    return {"fingerprint": outcome.manifest.data_fingerprint, "counts": counts}


def _finding(finding: Finding) -> Facts:
    return {
        "kind": finding.kind,
        "en": finding.sentence_en,
        "zh": finding.sentence_zh,
        "files": [short(path) for path in finding.paths],
    }


def _figures(predictions: Predictions, outcome: Outcome) -> Facts:
    return asdict(evaluate(predictions.probabilities, predictions.labels, outcome.dataset.classes))


def _calibration(outcome: Outcome) -> Facts:
    """The calibration error before and after the temperature. Softmax forgets only a constant of the logits, which
    does not matter: the probabilities at T = 1 can be had back."""
    judged, temperature = _judged(outcome), outcome.manifest.temperature
    plain = (judged.probabilities.double().clamp_min(1e-30).log() * temperature).softmax(dim=1)
    errors = [
        evaluate(probabilities, judged.labels, outcome.dataset.classes).expected_calibration_error
        for probabilities in (plain, judged.probabilities)
    ]
    return {
        "temperature": temperature,
        "error_before": errors[0],
        "error_after": errors[1],
        "cross_validated": asdict(outcome.cross_validated) if outcome.cross_validated else None,
    }


def _threshold(outcome: Outcome) -> Facts:
    threshold, judged = outcome.manifest.threshold, _judged(outcome)
    unknown = {
        "validation": threshold_cost(outcome.validation, threshold)["called_unknown"],
        "test": threshold_cost(outcome.test, threshold)["called_unknown"] if outcome.test else None,
    }
    curve = [(step / _CURVE_STEPS, *_named(judged, step / _CURVE_STEPS)) for step in range(_CURVE_STEPS + 1)]
    return {**threshold_cost(judged, threshold), "called_unknown": unknown, "curve": curve}


def _unknown(outcome: Outcome) -> Facts | None:
    """Which score was kept, what all of them were worth, and the kept one on pictures that chose nothing."""
    choice = outcome.choice
    if choice is None:
        return None
    judged = outcome.unknown and {"score": asdict(outcome.unknown[0]), "softmax": asdict(outcome.unknown[1])}
    return {
        "score": choice.reference.name,
        "strangers": choice.strangers,
        "known": choice.known,
        "unknown": choice.unknown,
        "scores": [asdict(one) for one in choice.figures],
        "judged": judged,
    }


def _named(predictions: Predictions, threshold: float) -> tuple[float, float | None]:
    """The share of pictures that keep a name at `threshold`, and the share of those names that are right."""
    answers = predictions.probabilities.argmax(dim=1)
    named: Tensor = predictions.sureness >= threshold
    right = answers[named] == predictions.labels[named]
    return float(named.double().mean()), float(right.double().mean()) if len(right) else None


def _mistakes(predictions: Predictions) -> Sequence[tuple[Path, int, int, float]]:
    """The wrong answers (picture, truth, answer, confidence), the surest first."""
    confidences, answers = predictions.probabilities.max(dim=1)
    wrong = (answers != predictions.labels).nonzero().flatten()
    order = wrong[confidences[wrong].argsort(descending=True, stable=True)][:MAX_MISTAKES]
    return [
        (predictions.paths[index], int(predictions.labels[index]), int(answers[index]), float(confidences[index]))
        for index in order.tolist()
    ]
