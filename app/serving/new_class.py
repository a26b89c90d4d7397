"""A class added to a mode that serves, from a few photos and in a few seconds: its next version, with one more row."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.config import Settings
from app.errors import BadParameter, ModelError
from app.photos.snapshot import Photo, read_snapshot, written
from app.registry.catalog import Entry
from app.registry.files import write_file
from app.registry.library import check_not_base, find_version, read_history
from app.registry.manifest import Manifest, ManifestLabel
from app.registry.versions import PHOTOS, next_version, read_score, read_version, write_version
from app.serving.head import Head, LinearHead, NeighbourHead
from app.serving.imprint import grown
from app.serving.mode import Mode
from app.serving.new_photos import MOST, ClassExists, Given, LeftOut, usable
from app.serving.new_score import Unseen, grown_score, lift_for, score_by
from app.serving.old_photos import features_of, held_out_part, seen, some_of
from app.serving.switching import Check, promote
from app.vision.labels import plain_label
from app.vision.networks import build, join

ADDED = "added.json"
"""Beside the manifest of such a version: what came of it."""
MOST_WEIGHED, MOST_JUDGED = 24, 16
"""Old photos that the new class is weighed against, and others that show what changed: together a second of work."""
LONGEST_LABEL = 64

Load = Callable[[Entry], Mode]


@dataclass(frozen=True, slots=True)
class Order:
    """The class to add. `keep_in`: where the photos are kept that lie nowhere yet, for a later training needs them."""

    mode: str
    label: str
    label_zh: str | None
    photos: Sequence[Given]
    promote: bool = False
    keep_in: Path | None = None


@dataclass(frozen=True, slots=True)
class OldAnswers:
    """Old photos under the old head and the new: how many were `judged`, how many answers `changed`, how many of these
    were right before. `part`: of the version's photos, none of which it has learned from."""

    part: str
    judged: int
    changed: int
    lost: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What came of it.

    `weighed`: the old photos that the new class was weighed against; 0: none was there any more, or none was needed.
    `right`, `named`: of the new photos, each judged by what the others teach, those answered right, and of these the
    ones not called unknown. `old`: None where no photo is left that the version has not learned from.
    """

    mode: str
    version: str
    parent: str
    label: str
    photos: int
    left_out: tuple[LeftOut, ...]
    weighed: int
    right: int
    named: int
    old: OldAnswers | None
    seconds: float
    active: bool

    def facts(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Before:
    """The active version: on disk, and loaded."""

    folder: Path
    manifest: Manifest
    tensors: dict[str, Tensor]
    score: dict[str, Tensor]
    mode: Mode
    photos: tuple[Photo, ...] | None

    @property
    def views(self) -> int:
        """As how many rows a head of stored photos holds each of them."""
        chosen = self.manifest.options.get("chosen") or {}
        return int(chosen.get("views", 1)) if isinstance(self.mode.head, NeighbourHead) else 1


@dataclass(frozen=True, slots=True, eq=False)
class _New:
    """The features of the new photos, and of the same mirrored."""

    plain: Tensor
    mirrored: Tensor

    def but(self, place: int) -> "_New":
        """All but one of them."""
        kept = [index for index in range(len(self.plain)) if index != place]
        return _New(self.plain[kept], self.mirrored[kept])


def add_class(order: Order, settings: Settings, *, by: str, load: Load, check: Check) -> Addition:
    """Write the next version of `order.mode`: the active one with one more class. It serves once it is promoted.

    `load`, `check`: a version as the server has it, and as the server would load it.

    Raises:
        BadParameter, ClassExists, TooFewPhotos: the order cannot be carried out. BaseModeFixed, UnknownMode: there is
        no such mode. ModelError: its active version cannot take a class.
    """
    began = time.perf_counter()
    before = _before(order, settings, load)
    given, left_out = usable(order.photos, before.photos or (), settings.max_pixels)
    new = _New(*features_of(before.mode, [photo.data for photo in given], settings.max_pixels))
    old, weighed = _old_features(before, new, settings)
    unseen = _unseen(before, new, old, order)
    lift = lift_for(before.mode, unseen.score)
    after = _mode_with(before, new, old, order, lift)
    answers = _old_answers(before, after.head, settings)
    version = next_version(before.folder.parent)
    known = before.manifest
    right, named = int(unseen.right.sum()), unseen.named(before.mode)
    facts = Addition(known.mode, version, known.version, order.label, len(given), left_out, weighed, right, named,
                     answers, time.perf_counter() - began, order.promote)  # fmt: skip
    _write(before, after, given, order, facts, settings, by, check)
    if order.promote:
        why = f"the class {order.label} was added from {len(given)} photos"
        promote(settings, known.mode, version, by=by, why=why, forced=True, check=check)
    return replace(facts, seconds=time.perf_counter() - began)


def _before(order: Order, settings: Settings, load: Load) -> _Before:
    check_not_base(order.mode)
    active = read_history(settings.models_dir, order.mode).active
    if active is None:
        raise ModelError(f"the mode {order.mode} is served by a plain file: import it as a version first")
    folder = find_version(settings.models_dir, order.mode, active)
    try:
        manifest, tensors = read_version(folder)
    except ModelError as error:
        raise ModelError(f"{order.mode}@{active} cannot take a class: {error}") from error
    _check_label(order, manifest)
    mode = load(Entry(order.mode, folder))
    return _Before(folder, manifest, tensors, read_score(folder, manifest), mode, read_snapshot(folder))


def _check_label(order: Order, manifest: Manifest) -> None:
    for name, text in (("label", order.label), ("label_zh", order.label_zh)):
        if text is not None and (not 0 < len(text.strip()) <= LONGEST_LABEL or not text.isprintable()):
            raise BadParameter(
                name=name, en=f"a name of 1 to {LONGEST_LABEL} characters", zh=f" 1 到 {LONGEST_LABEL} 个字的名称"
            )
    known = {name.strip().casefold() for one in manifest.labels for name in (one.label, one.label_zh) if name}
    for text in (order.label, order.label_zh):
        if text is not None and text.strip().casefold() in known:
            raise ClassExists(mode=order.mode, label=text.strip())
    if len(order.photos) > MOST:
        raise BadParameter(name="file", en=f"at most {MOST} photos", zh=f"最多 {MOST} 张照片")


def _old_features(before: _Before, new: _New, settings: Settings) -> tuple[Tensor | None, int]:
    """Photos of the old classes to weigh the new one against: those that were learned from, as long as they are there;
    else what the score remembers of them, whose length is lost and taken to be that of the new photos."""
    if not isinstance(before.mode.head, LinearHead):
        return None, 0
    learned = [photo for photo in before.photos or () if photo.learned]
    found = seen(before.mode, some_of(learned, MOST_WEIGHED), settings.max_pixels).features
    if not len(found) and "known" in before.score:
        found = before.score["known"].float() * new.plain.norm(dim=1).mean()
    return (found, len(found)) if len(found) else (None, 0)


def _mode_with(before: _Before, new: _New, old: Tensor | None, order: Order, lift: float = 0.0) -> Mode:
    """The mode with the class, in memory."""
    mode = before.mode
    score = grown_score(mode, new.plain, new.mirrored, lift)
    label = plain_label(order.label, order.label_zh)
    return replace(mode, head=grown(mode.head, new.plain, old, before.views), score=score, labels=(*mode.labels, label))


def _unseen(before: _Before, new: _New, old: Tensor | None, order: Order) -> Unseen:
    right, scores = [], []
    for place in range(len(new.plain)):
        mode = _mode_with(before, new.but(place), old, order)
        features = new.plain[place : place + 1]
        right.append(int(mode.logits(features).argmax()) == len(mode.labels) - 1)
        scores.append(score_by(mode, features))
    return Unseen(torch.tensor(right), torch.cat(scores))


def _old_answers(before: _Before, head: Head, settings: Settings) -> OldAnswers | None:
    part, photos = held_out_part(before.photos or ())
    found = seen(before.mode, some_of(photos, MOST_JUDGED), settings.max_pixels)
    if part is None or not found.photos:
        return None
    names = [label.label for label in before.manifest.labels]
    truth = torch.tensor([names.index(photo.label) if photo.label in names else -1 for photo in found.photos])
    first, then = (one.logits(found.features).argmax(dim=1) for one in (before.mode.head, head))
    changed = first != then
    return OldAnswers(part, len(truth), int(changed.sum()), int((changed & (first == truth)).sum()))


def _write(
    before: _Before,
    after: Mode,
    given: Sequence[Given],
    order: Order,
    facts: Addition,
    settings: Settings,
    by: str,
    check: Check,
) -> None:
    manifest = before.manifest.model_copy(
        update={
            "version": facts.version,
            "created": datetime.now(UTC).replace(microsecond=0),
            "labels": [*before.manifest.labels, ManifestLabel(label=order.label, label_zh=order.label_zh)],
            "threshold": after.threshold,  # the one in force, whoever set it
            "metrics": {},  # those of before were of other classes
            "data_fingerprint": None,
            "parent": before.manifest.version,
            "imported_from": None,
            "files": {},
        }
    )
    files = {ADDED: (json.dumps(facts.facts(), ensure_ascii=False, indent=1) + "\n").encode()}
    if before.photos is not None:  # a list that is silent about the others would say that they are unknown
        files[PHOTOS] = written([*before.photos, *(_photo(one, order) for one in given)])
    write_version(
        settings.models_dir,
        manifest,
        _tensors(before, after.head),
        files,
        score={name: one.to(before.score.get(name, one).dtype) for name, one in after.score.tensors.items()},
        by=by,
        check=lambda folder: check(Entry(manifest.mode, folder)),
    )


def _tensors(before: _Before, head: Head) -> Mapping[str, Tensor]:
    """What is written: the head, or the whole network with it."""
    if isinstance(head, NeighbourHead):
        return {"neighbours": head.neighbours, "labels": head.labels}
    if not isinstance(head, LinearHead):
        raise TypeError(head)
    if not before.manifest.backbone.tuned:
        return {"weight": head.weight, "bias": head.bias}
    network = build(before.manifest.backbone.name, before.tensors)
    return join(replace(network, weight=head.weight, bias=head.bias))


def _photo(given: Given, order: Order) -> Photo:
    """The photo as the version's list has it; one that lies nowhere yet is written down first."""
    path = given.path
    if path is None:
        if order.keep_in is None:
            raise ValueError("a photo that lies nowhere needs a place")
        order.keep_in.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = order.keep_in / f"{given.sha256[:16]}.jpg"
        if not path.exists():
            write_file(path, given.data, mode=0o600)
    return Photo("train", order.label, given.sha256, True, path.resolve())
