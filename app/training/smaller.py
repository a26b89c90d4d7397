"""Whether pruning, or fine-tuning for int8, was worth it: size, time and accuracy side by side, before and after."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from app.export.check import milliseconds
from app.photos.dataset import Dataset, Sample
from app.serving.backbone import Backbone
from app.serving.quantisation import drawn_pictures, quantised
from app.training.evaluation import wilson
from app.training.features import FeatureReader, Forward, Views
from app.training.paired import SIGNIFICANT, mcnemar, pairs
from app.training.progress import Progress
from app.vision.networks import SplitNetwork
from app.vision.transform import Transform

TAUGHT, PRUNED, ROUNDED = "as taught", "pruned", "fine-tuned for int8"
Facts = dict[str, Any]
_WORTH_TIME = 0.95
"""Who saves less of the time than this has saved nothing that would be noticed."""


@dataclass(frozen=True, slots=True)
class Smaller:
    """The networks in the order that they came about, each with its name; `int8`: look at each in int8, too."""

    networks: tuple[tuple[str, SplitNetwork], ...]
    transform: Transform
    int8: bool

    def table(self, dataset: Dataset, max_pixels: int, progress: Progress) -> Facts:
        """Every network on the test photos, or the validation ones where there are none, and the times of all in one
        run. Shares are between 0 and 1."""
        part, samples = ("test", dataset.test) if dataset.test else ("validation", dataset.validation)
        precisions = ("float32", "int8") if self.int8 else ("float32",)
        cases = [
            _Case(name, network, precision, self.transform)
            for name, network in self.networks
            for precision in precisions
        ]
        reader = FeatureReader(cases[0].forward, self.transform.resize, max_pixels, 0, None, progress)
        labels = torch.tensor([sample.label for sample in samples])
        right = [case.right(samples, labels, reader) for case in cases]
        taken = milliseconds([case.forward for case in cases], drawn_pictures(1, self.transform, seed=3))
        rows = [
            {
                "name": case.name,
                "precision": case.precision,
                "megabytes": case.megabytes,
                "milliseconds": time,
                "right": sum(ones),
                "accuracy": asdict(wilson(sum(ones), len(ones))),
                "served": case.served,
                "p": mcnemar(pairs(ones, right[0])),
            }
            for case, ones, time in zip(cases, right, taken, strict=True)
        ]
        facts: Facts = {"part": part, "n": len(samples), "threads": torch.get_num_threads(), "rows": rows}
        sentences = [sentence for sentence in (_pruning(rows, len(samples)), _rounding(rows, right)) if sentence]
        facts["verdict"] = {"en": " ".join(en for en, _ in sentences), "zh": "".join(zh for _, zh in sentences)}
        return facts


def lines(facts: Facts | None) -> list[str]:
    """The table for a terminal, if there is one."""
    if facts is None:
        return []
    timed = "ms, 1 thread" if facts["threads"] == 1 else f"ms, {facts['threads']} threads"
    head = f"{'network':<22}{'precision':<11}{'MB':>7}{timed:>15}{'right of ' + str(facts['n']):>16}"
    rows = [
        f"{row['name']:<22}{row['precision']:<11}{row['megabytes']:>7.2f}{row['milliseconds']:>15.1f}"
        f"{row['right']:>9} {row['accuracy']['value']:>6.1%}{'' if row['served'] else '  (too far off to be served)'}"
        for row in facts["rows"]
    ]
    return [head, *rows, facts["verdict"]["en"]]


class _Case:
    """One network in one precision: `served` is false where serving would refuse int8 for it."""

    def __init__(self, name: str, network: SplitNetwork, precision: str, transform: Transform) -> None:
        self.name, self.precision = name, precision
        self._weight, self._bias = network.weight, network.bias
        backbone = Backbone(network, "", transform, precision)
        self.served = backbone.precision == precision
        self.forward: Forward = backbone.features
        self._views = Views(transform)
        state = dict(network.backbone.state_dict())
        if precision == "int8":
            lower = quantised(network.backbone, transform)
            state = lower.state_dict()
            if not self.served:
                self.forward = lower
        self.megabytes = _size({**state, "head.weight": network.weight, "head.bias": network.bias})

    def right(self, samples: Sequence[Sample], labels: Tensor, reader: FeatureReader) -> list[bool]:
        """Whether each photo is right."""
        plain = replace(reader, forward=self._features, tag=self.name)
        logits = plain.read(f", {self.precision}", samples, self._views)[0] @ self._weight.T + self._bias
        found: list[bool] = (logits.argmax(1) == labels).tolist()
        return found

    def _features(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.forward(batch)


def _size(state: dict[str, object]) -> float:
    """In megabytes, as a file."""
    content = io.BytesIO()
    torch.save(state, content)
    return len(content.getvalue()) / 1e6


def _pruning(rows: Sequence[Facts], n: int) -> tuple[str, str] | None:
    after = next((row for row in rows if row["name"] == PRUNED), None)
    if after is None:
        return None
    before = rows[0]
    size, time = (after[key] / before[key] for key in ("megabytes", "milliseconds"))
    lost = before["right"] - after["right"]
    worth = time <= _WORTH_TIME and not (lost > 0 and after["p"] < SIGNIFICANT)
    return (
        f"Pruned it has {size:.0%} of the size, takes {time:.0%} of the time, and is right on {after['right']} of {n} "
        f"against {before['right']} (p = {after['p']:.2g}): {'worth it' if worth else 'not worth it'}.",
        f"剪枝后大小为 {size:.0%}，用时 {time:.0%}，{n} 张中答对 {after['right']} 张，此前 {before['right']} 张"
        f"（p = {after['p']:.2g}）：{'值得' if worth else '不值得'}。",
    )


def _rounding(rows: Sequence[Facts], right: Sequence[list[bool]]) -> tuple[str, str] | None:
    """Int8 before and after; p is of these two, on the same photos."""
    places = [place for place, row in enumerate(rows) if row["precision"] == "int8"]
    if not places:
        return None
    first, last = places[-2:]
    before, after = rows[first], rows[last]
    p = mcnemar(pairs(right[last], right[first]))
    gained = after["right"] - before["right"]
    now_served = after["served"] and not before["served"]
    worth = now_served or (gained > 0 and p < SIGNIFICANT)
    en = f"In int8 it is right on {after['right']} where it was on {before['right']} before (p = {p:.2g})"
    zh = f"int8 答对 {after['right']} 张，此前 {before['right']} 张（p = {p:.2g}）"
    if now_served:
        en, zh = f"{en}, and can now be served in int8", f"{zh}，现在可以用 int8 服务"
    return f"{en}: {'worth it' if worth else 'not worth it'}.", f"{zh}：{'值得' if worth else '不值得'}。"
