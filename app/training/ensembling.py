"""An ensemble from beginning to end: weigh members that were taught, judge what they say together, write a version."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from app.config import Settings
from app.errors import DataError
from app.photos.dataset import Dataset, fingerprint
from app.photos.snapshot import written
from app.registry.catalog import BUILT_IN, Entry
from app.registry.manifest import BackboneReference, Manifest, MemberReference, Title, ViewsName, is_key
from app.registry.versions import PHOTOS, for_member, next_version, write_version
from app.serving.ensemble import EnsembleBackbone
from app.serving.loading import Loader
from app.training.ensemble_figures import (
    Weigh,
    calibrated,
    crossed,
    equal_weights,
    fitted,
    fitted_weights,
    gain,
    mean,
    members_figures,
    share,
)
from app.training.ensemble_members import Seen, Taught, costs, look, merged, read_members, unseen
from app.training.evaluation import choose_threshold
from app.training.outcome import Outcome, Predictions, metrics_of
from app.training.progress import SILENT, Progress
from app.training.report import Facts, report_files
from app.training.run import parent_of, peak_memory_mb
from app.training.separation import accepted_shares


@dataclass(frozen=True, slots=True)
class EnsembleOrder:
    """What is to be put together: `members` are MODE[@VERSION]; `weights` a number each, or how to come by them."""

    source: Path
    mode: str
    members: tuple[str, ...]
    weights: tuple[float, ...] | Literal["equal", "fitted"] = "equal"
    views: ViewsName = "plain"
    accepted: float = 0.95
    title_en: str | None = None
    title_zh: str | None = None
    by: str = "ensemble"

    def weigh(self) -> Weigh:
        """The function that weighs the members.

        Raises:
            DataError: there are not as many weights as members, or they are no weights.
        """
        given = self.weights
        if isinstance(given, str):
            return fitted_weights if given == "fitted" else equal_weights
        if len(given) != len(self.members) or min(given) < 0 or not 0 < sum(given) < float("inf"):
            raise DataError(
                f"{len(self.members)} members need as many weights, none below 0, and not all of them 0: "
                f"not {_listed(given)}."
            )
        shares = [weight / sum(given) for weight in given]
        return lambda probabilities, labels: shares

    def command(self) -> str:
        """The command that repeats it."""
        words = ["python", "-m", "app", "ensemble", str(self.source), "--mode", self.mode]
        words += ["--members", ",".join(self.members)]
        if self.weights != "equal":
            words += ["--weights", self.weights if isinstance(self.weights, str) else _listed(self.weights)]
        words += ["--tta", self.views] if self.views != "plain" else []
        return shlex.join(words)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """The ensemble and its answers: on the validation part each by what the other photos say, on the test part as it
    will serve. `weights_by_photo` [n, members] are those that the judged photos were answered with."""

    weights: list[float]
    temperature: float
    validation: Predictions
    test: Predictions | None
    judged: Seen
    weights_by_photo: torch.Tensor


def put_together(order: EnsembleOrder, settings: Settings, progress: Progress = SILENT) -> Outcome:
    """Weigh the members, calibrate what they say together, judge it, and write a version of `order.mode`.

    Raises:
        DataError: the order or the photos cannot be used. ModelError: a member cannot be served, or does not know the
        same classes in the same order.
    """
    if not is_key(order.mode) or order.mode in BUILT_IN:
        raise DataError(f"'{order.mode}' cannot name a mode: letters, digits, '_', '-' and '.' can.")
    weigh = order.weigh()
    began = time.perf_counter()
    torch.set_num_threads(settings.torch_threads)
    loader = Loader(settings)
    members = read_members(order.members, settings, loader)
    dataset = unseen(order.source, members)
    made = _made(order, members, dataset, weigh, settings, progress)
    read = {path for part in (made.validation, made.test) if part for path in part.paths}
    dataset = replace(
        dataset,
        validation=tuple(one for one in dataset.validation if one.path in read),
        test=tuple(one for one in dataset.test if one.path in read),
    )
    progress.start("what each costs", 1)
    facts = _facts(order, members, made)
    progress.finish()
    manifest = _manifest(order, members, made, dataset, settings)
    outcome = Outcome(
        mode=manifest.mode,
        version=manifest.version,
        folder=settings.models_dir / manifest.mode / manifest.version,
        dataset=dataset,
        findings=(),
        history=(),
        stopped_because="put together, not trained",
        validation=made.validation,
        test=made.test,
        seconds=time.perf_counter() - began,
        peak_memory_mb=peak_memory_mb(),
        command=order.command(),
        manifest=manifest,
        ensemble=facts,
    )
    _write(outcome, order, members, loader, settings)
    return outcome


def _made(
    order: EnsembleOrder,
    members: Sequence[Taught],
    dataset: Dataset,
    weigh: Weigh,
    settings: Settings,
    progress: Progress,
) -> _Made:
    looking = [one.member(1 / len(members)) for one in members]
    seen = {}
    for part, samples in (("validation", dataset.validation), ("test", dataset.test)):
        if samples:
            progress.start(f"{part}: what the members say", len(samples) * (1 if order.views == "plain" else 2))
            seen[part] = look(samples, looking, order.views, settings, progress)
            progress.finish()
    chosen_by = seen["validation"]
    weights, temperature = fitted(chosen_by.probabilities, chosen_by.labels, weigh)
    by_photo, answers = crossed(chosen_by.probabilities, chosen_by.labels, weigh)
    validation = Predictions(answers, chosen_by.labels, chosen_by.paths, answers.amax(1))
    judged = seen.get("test")
    if judged is None:
        return _Made(weights, temperature, validation, None, chosen_by, by_photo)
    by_photo = torch.tensor([weights]).expand(len(judged.samples), -1)
    answers = calibrated(mean(judged.probabilities, by_photo), temperature)
    test = Predictions(answers, judged.labels, judged.paths, answers.amax(1))
    return _Made(weights, temperature, validation, test, judged, by_photo)


def _facts(order: EnsembleOrder, members: Sequence[Taught], made: _Made) -> Facts:
    """What each member adds and costs, for the report."""
    taken = costs([one.member(weight) for one, weight in zip(members, made.weights, strict=True)], order.views)
    labels, together = made.judged.labels, taken["together"][0]
    right = mean(made.judged.probabilities, made.weights_by_photo).argmax(1) == labels
    figures = members_figures(made.judged.probabilities, labels, made.weights_by_photo)
    rows: list[dict[str, Any]] = [
        {"name": one.name, "network": one.mode.backbone.name, "weight": weight, **row, "milliseconds": alone}
        for one, weight, row, alone in zip(members, made.weights, figures, taken["alone"], strict=True)
    ]
    for row, others in zip(rows, taken["without"], strict=False):  # none where there is one member
        row["adds_milliseconds"] = together - others
    facts: Facts = {
        "weights": order.weights if isinstance(order.weights, str) else "given",
        "views": order.views,
        "n": len(labels),
        "together": {**share(right), "milliseconds": together},
        "members": rows,
        "plain": None,
    }
    if order.views != "plain":
        plain = mean(made.judged.plain, made.weights_by_photo).argmax(1) == labels
        facts["plain"] = {**share(plain), "milliseconds": taken["plain"][0]}
        facts["views_add"] = {**gain(right, plain), "milliseconds": together - taken["plain"][0]}
    return facts


def _manifest(
    order: EnsembleOrder, members: Sequence[Taught], made: _Made, dataset: Dataset, settings: Settings
) -> Manifest:
    first = members[0].manifest
    backbone = EnsembleBackbone([one.mode.backbone for one in members], order.views)
    tuned = any(one.manifest.backbone.tuned for one in members)
    mode_folder = settings.models_dir / order.mode
    return Manifest(
        mode=order.mode,
        version=next_version(mode_folder),
        created=datetime.now(UTC).replace(microsecond=0),
        title=Title(en=order.title_en or first.title.en, zh=order.title_zh or first.title.zh),
        labels=first.labels,
        backbone=BackboneReference(name=backbone.name, fingerprint=backbone.fingerprint, tuned=tuned),
        transform=first.transform,
        temperature=made.temperature,
        members=[_reference(one, weight) for one, weight in zip(members, made.weights, strict=True)],
        views=order.views,
        threshold=choose_threshold(made.validation.sureness, accepted=order.accepted)[0],
        accepted=accepted_shares(made.validation.sureness),
        metrics=metrics_of(made.validation, made.test, dataset.classes),
        options={
            "recipe": "ensemble",
            "members": ", ".join(one.name for one in members),
            "weights": order.weights if isinstance(order.weights, str) else _listed(order.weights),
            "tta": order.views,
        },
        data_fingerprint=fingerprint(dataset),
        parent=parent_of(mode_folder),
    )


def _reference(taught: Taught, weight: float) -> MemberReference:
    manifest = taught.manifest
    return MemberReference(
        source=taught.name,
        weight=weight,
        backbone=manifest.backbone,
        transform=manifest.transform,
        head=manifest.head,
        neighbours=manifest.neighbours,
        temperature=manifest.temperature,
    )


def _write(
    outcome: Outcome, order: EnsembleOrder, members: Sequence[Taught], loader: Loader, settings: Settings
) -> None:
    files = report_files(outcome, max_pixels=settings.max_pixels)
    if all(one.photos is not None for one in members):
        files[PHOTOS] = written(merged(members))
    tensors = {}
    for number, one in enumerate(members):
        tensors.update(for_member(one.tensors, number))
    write_version(
        settings.models_dir,
        outcome.manifest,
        tensors,
        files,
        by=order.by,
        check=lambda folder: loader.version(Entry(order.mode, folder)),
    )


def _listed(weights: Sequence[float]) -> str:
    return ",".join(f"{weight:g}" for weight in weights)
