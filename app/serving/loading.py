"""From files to modes: every mode on a backbone, every backbone loaded once and shared."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from app.config import Settings
from app.errors import ModelError, WeightsError
from app.registry.catalog import BASE_MODE, ENSEMBLE_MODE, Entry
from app.registry.checkpoint import CHECKPOINT_NETWORK, PLAIN_THRESHOLD, read_checkpoint
from app.registry.manifest import Manifest
from app.registry.state import history_of
from app.registry.versions import of_member, read_score, read_version
from app.serving.backbone import Backbone
from app.serving.calibration import CALIBRATIONS, Calibration
from app.serving.ensemble import Member, together
from app.serving.head import Head, LinearHead, head_of
from app.serving.mode import Mode, ModelIdentity, sound
from app.serving.score import score_of
from app.vision.download import sha256_of
from app.vision.labels import Label, imagenet_labels, plain_label, read_labels
from app.vision.networks import LITE0, build, fingerprint, transform_of
from app.vision.transform import Transform
from app.vision.weights import BASE, Weights, find_network_weights, find_weights

IMAGENET_CLASSES = 1000
BASE_THRESHOLD = 0.2
"""For `imagenet` on a network whose calibration was not measured (`serving.calibration`)."""

UNMEASURED = Calibration(1.0, BASE_THRESHOLD)

Read = Callable[[], Mapping[str, Tensor]]


class Loader:
    """Builds modes; keeps each backbone once, by fingerprint, for as long as some mode uses it."""

    def __init__(self, settings: Settings, backbone: type[Backbone] = Backbone) -> None:
        self._settings = settings
        self._backbone = backbone
        self._backbones: WeakValueDictionary[str, Backbone] = WeakValueDictionary()
        self._lock = threading.RLock()

    def base(self) -> Mode:
        """The `imagenet` mode, from the first weights found (DESIGN section 4); never from the network.

        Raises:
            WeightsError: what was found cannot be used.
        """
        weights = find_weights(self._settings)
        backbone, head = self._from_network(weights.name, weights.state_dict, transform_of(weights.name))
        titles = ("1000 everyday things", "日常万物（1000 类）")
        return self._built_in(BASE_MODE, titles, backbone, head, _identity(backbone, weights))

    def base_ensemble(self, base: Mode) -> Mode | None:
        """The `imagenet-ensemble` mode, of `base` and EfficientNet-Lite0; None where ResNet-18 is not here to be asked.

        Raises:
            WeightsError: what was found cannot be used.
        """
        weights = find_network_weights(LITE0, self._settings) if base.model.name == BASE else None
        if weights is None:
            return None
        other, head = self._from_network(LITE0, weights.state_dict, transform_of(LITE0))
        temperature = CALIBRATIONS.get(LITE0, UNMEASURED).temperature
        both, heads = together(
            [Member(base.backbone, base.head, base.temperature, 0.5), Member(other, head, temperature, 0.5)]
        )
        model = ModelIdentity(
            name=both.name,
            version=f"{base.model.version}+{weights.version}",
            sha256=hashlib.sha256(f"{base.model.sha256}{weights.sha256}".encode()).hexdigest(),
            precision=both.precision,
            origin=base.model.origin,
        )
        titles = ("1000 everyday things, by two networks", "日常万物（双模型，1000 类）")
        return self._built_in(ENSEMBLE_MODE, titles, both, heads, model)

    def _built_in(
        self, key: str, titles: tuple[str, str], backbone: Backbone, head: Head, model: ModelIdentity
    ) -> Mode:
        """A mode of the 1000 classes, as its network was measured."""
        measured = CALIBRATIONS.get(backbone.name, UNMEASURED)
        return Mode(
            key=key,
            title_en=titles[0],
            title_zh=titles[1],
            labels=imagenet_labels(),
            backbone=backbone,
            head=head,
            temperature=measured.temperature,
            threshold=measured.threshold if self._settings.threshold is None else self._settings.threshold,
            model=model,
            accepted=measured.accepted,
        )

    def custom(self, entry: Entry, base: Mode) -> Mode:
        """The mode that lies at `entry`.

        Raises:
            ModelError: it cannot be served; the sentence is the reason.
        """
        if entry.problem:
            raise ModelError(entry.problem)
        if entry.path.suffix != ".pth":
            return self.version(entry)
        try:
            mode = self._checkpoint(entry, base)
        except WeightsError as error:
            raise ModelError(str(error)) from error
        _check(mode)
        return mode

    def version(self, entry: Entry) -> Mode:
        """The version of a mode whose folder is `entry.path`, checked by a pass; it needs no base mode.

        Raises:
            ModelError: it cannot be served; the sentence is the reason.
        """
        try:
            mode = self._version(entry)
        except WeightsError as error:
            raise ModelError(str(error)) from error
        _check(mode)
        return mode

    def _version(self, entry: Entry) -> Mode:
        manifest, tensors = read_version(entry.path)
        if manifest.mode != entry.key:
            raise ModelError(f"its manifest is of the mode {manifest.mode}")
        backbone, head = self._network_of(manifest, tensors, entry.path)
        return Mode(
            key=entry.key,
            title_en=manifest.title.en,
            title_zh=manifest.title.zh,
            labels=tuple(plain_label(label.label, label.label_zh) for label in manifest.labels),
            backbone=backbone,
            head=head,
            temperature=manifest.temperature,
            threshold=history_of(entry.path.parent).thresholds.get(entry.path.name, manifest.threshold),
            model=ModelIdentity(
                name=backbone.name,
                version=manifest.version,
                sha256=next(iter(manifest.files.values())),
                precision=backbone.precision,
                origin="models",
            ),
            score=score_of(manifest.score, read_score(entry.path, manifest), backbone.width, len(manifest.labels)),
            accepted=tuple(manifest.accepted) if manifest.accepted else None,
            probability_threshold=manifest.probability_threshold,
        )

    def _network_of(self, manifest: Manifest, tensors: dict[str, Tensor], path: Path) -> tuple[Backbone, Head]:
        """The backbone and the head of a version, which may be an ensemble."""
        if not manifest.members:
            return self._manifest_network(manifest, tensors, lambda: read_version(path)[1])
        members = []
        for number, member in enumerate(manifest.members):
            read = partial(_member_of, path, number)
            one = self._manifest_network(manifest.of_member(number), of_member(tensors, number), read)
            members.append(Member(*one, member.temperature, member.weight))
        return together(members, manifest.views)

    def _manifest_network(self, manifest: Manifest, tensors: dict[str, Tensor], read: Read) -> tuple[Backbone, Head]:
        """`read` reads the tensors again."""
        reference = manifest.backbone
        if reference.tuned:
            return self._from_network(reference.name, read, manifest.transform, tensors)
        head = head_of(manifest, tensors)
        return self._shared(manifest), head

    def _shared(self, manifest: Manifest) -> Backbone:
        """The backbone that a head was trained on, from memory or from this machine's weights."""
        reference = manifest.backbone
        with self._lock:
            backbone = self._backbones.get(_key(reference.fingerprint, manifest.transform))
            if backbone is not None:
                return backbone
            weights = find_network_weights(reference.name, self._settings)
            if weights is not None:
                backbone, _ = self._from_network(weights.name, weights.state_dict, manifest.transform)
        if backbone is None or backbone.fingerprint != reference.fingerprint:
            raise ModelError(
                f"it was trained on {reference.name} weights that are not here ({reference.fingerprint[:8]}); "
                f"train it again: python -m app train DATA --mode {manifest.mode}"
            )
        return backbone

    def _checkpoint(self, entry: Entry, base: Mode) -> Mode:
        checkpoint = read_checkpoint(entry.path)
        classes = len(checkpoint.weight)
        if entry.labels_path is None:
            raise ModelError(f"it has no labels file beside it ({entry.path.stem}.txt, one class a line)")
        labels = read_labels(entry.labels_path)
        if len(labels) != classes:
            raise ModelError(f"its head has {classes} classes and its labels file {len(labels)}")
        backbone, head = base.backbone, LinearHead(checkpoint.weight, checkpoint.bias)
        if checkpoint.backbone is not None:
            transform = transform_of(CHECKPOINT_NETWORK)
            backbone, head = self._from_network(CHECKPOINT_NETWORK, lambda: _whole(entry.path), transform)
        return self.plain(entry.key, entry.path, labels, backbone, head)

    def plain(self, key: str, path: Path, labels: tuple[Label, ...], backbone: Backbone, head: LinearHead) -> Mode:
        """A mode from a file that says nothing of itself: its key is its title, its hash its version."""
        sha256 = sha256_of(path)
        return Mode(
            key=key,
            title_en=key,
            title_zh=key,
            labels=labels,
            backbone=backbone,
            head=head,
            temperature=1.0,
            threshold=PLAIN_THRESHOLD if self._settings.threshold is None else self._settings.threshold,
            model=ModelIdentity(backbone.name, f"file-{sha256[:8]}", sha256, backbone.precision, "models"),
        )

    def _from_network(
        self, name: str, read: Read, transform: Transform, state: Mapping[str, Tensor] | None = None
    ) -> tuple[Backbone, LinearHead]:
        """A whole network's state_dict as a backbone, shared where its fingerprint is known, and its head.

        `read` reads the state_dict, now unless `state` has been read already, and perhaps again.
        """
        network = build(name, read() if state is None else state)
        key = fingerprint(network.backbone.state_dict())
        with self._lock:
            backbone = self._backbones.get(_key(key, transform))
            if backbone is None:
                backbone = self._backbone(network, key, transform, self._settings.precision)
                backbone.read_again = lambda: build(name, read()).backbone
                self._backbones[_key(key, transform)] = backbone
        return backbone, LinearHead(network.weight, network.bias)


def _member_of(path: Path, number: int) -> Mapping[str, Tensor]:
    """The tensors of an ensemble's member, whose version is at `path`."""
    return of_member(read_version(path)[1], number)


def _whole(path: Path) -> Mapping[str, Tensor]:
    """The state_dict of a checkpoint that holds a whole network."""
    checkpoint = read_checkpoint(path)
    return {**(checkpoint.backbone or {}), "fc.weight": checkpoint.weight, "fc.bias": checkpoint.bias}


def _key(fingerprint_: str, transform: Transform) -> str:
    """Two modes share a pass only when they see the same pixels, too."""
    return f"{fingerprint_}:{transform.model_dump_json()}"


def _identity(backbone: Backbone, weights: Weights) -> ModelIdentity:
    return ModelIdentity(weights.name, weights.version, weights.sha256, backbone.precision, weights.origin)


def _check(mode: Mode) -> None:
    """The last look before a mode may serve: the pieces fit, and one pass gives probabilities.

    Raises:
        ModelError: they do not.
    """
    if (mode.head.classes, mode.head.width) != (len(mode.labels), mode.backbone.width):
        raise ModelError(
            f"its head is ({mode.head.classes}, {mode.head.width}), but {len(mode.labels)} labels on "
            f"{mode.backbone.name} need ({len(mode.labels)}, {mode.backbone.width})"
        )
    crop = mode.backbone.transform.crop
    sound(mode.probabilities(mode.backbone.features(torch.zeros(1, 3, crop, crop))))
