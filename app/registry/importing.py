"""Models made elsewhere: a `.pth`, or a version's folder or zip, read and described as a version of this registry.

A `.pth` and a zip may come from anybody. Nothing in them can run, and nothing in them says where a file is written.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from app.config import Settings
from app.errors import BadParameter, FileInTheWay, ModelError, WeightsError
from app.registry.catalog import labels_beside, scan
from app.registry.checkpoint import CHECKPOINT_NETWORK, PLAIN_THRESHOLD, Checkpoint, read_checkpoint
from app.registry.library import check_not_base
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title, is_key
from app.registry.state import MANIFEST
from app.registry.versions import HEAD, NETWORK, next_version, read_version
from app.vision.download import sha256_of
from app.vision.labels import read_labels
from app.vision.networks import build, fingerprint, join, transform_of
from app.vision.weights import find_weights

MAX_BYTES = 2**30
"""What a zip or a `.pth` may hold, unpacked: the largest of torchvision's networks that two cores can serve have half
of it."""
_MAX_MANIFEST_BYTES = 4 * 2**20
_MIN_CLASSES = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What to make of a model: `mode` its key. What is None is the model's own, or has a default.

    `labels`: for a `.pth`, the file that names its classes.
    """

    mode: str
    labels: Path | None = None
    title_en: str | None = None
    title_zh: str | None = None
    threshold: float | None = None


def read_import(source: Path, order: Order, settings: Settings) -> tuple[Manifest, Mapping[str, Tensor]]:
    """The manifest and the tensors of the mode's next version, for `write_version`.

    Raises:
        BadParameter, BaseModeFixed, FileInTheWay: the mode cannot take it. ModelError: the source cannot be used.
        WeightsError: a bare head, and there is no base model.
    """
    check_not_base(order.mode)
    if not is_key(order.mode):
        raise BadParameter(
            name="mode",
            en="a name of letters, digits, '_', '-' and '.', of at most 64 characters",
            zh="由字母、数字、“_”“-”“.”组成且不超过 64 个字符的名称",
        )
    served = scan(settings.models_dir).get(order.mode)
    if served is not None and served.path.suffix == ".pth":
        raise FileInTheWay(mode=order.mode, file=served.path.name)
    if source.is_dir():
        return _from_version(source, order, settings)
    if not zipfile.is_zipfile(source):
        return _from_checkpoint(source, order, settings)
    with zipfile.ZipFile(source) as opened:
        if sum(entry.file_size for entry in opened.infolist()) > MAX_BYTES:
            raise ModelError(f"{source.name} holds more than {MAX_BYTES >> 30} GB")
        if any(name.endswith("data.pkl") for name in opened.namelist()):  # what torch.save writes is a zip, too
            return _from_checkpoint(source, order, settings)
        with TemporaryDirectory(prefix="wanwu-import-") as folder:
            _unpack(opened, Path(folder))
            return _from_version(Path(folder), order, settings)


def _from_checkpoint(path: Path, order: Order, settings: Settings) -> tuple[Manifest, Mapping[str, Tensor]]:
    checkpoint = read_checkpoint(path)
    labels_path = order.labels or labels_beside(path)
    if labels_path is None:
        raise ModelError(f"{path.name} needs a labels file: one class a line, in the order of the classes")
    labels = read_labels(labels_path)
    if len(labels) != len(checkpoint.weight) or len(labels) < _MIN_CLASSES:
        raise ModelError(f"its head has {len(checkpoint.weight)} classes and its labels file {len(labels)}")
    reference, tensors = _network_of(checkpoint, settings)
    thresholds = (order.threshold, settings.threshold, PLAIN_THRESHOLD)
    manifest = Manifest(
        mode=order.mode,
        version=next_version(settings.models_dir / order.mode),
        created=_now(),
        title=Title(en=order.title_en or order.mode, zh=order.title_zh or order.mode),
        labels=[ManifestLabel(label=label.label, label_zh=label.label_zh) for label in labels],
        backbone=reference,
        transform=transform_of(reference.name),
        threshold=next(value for value in thresholds if value is not None),
        imported_from=f"{path.name}, SHA-256 {sha256_of(path)}",
    )
    return manifest, tensors


def _network_of(checkpoint: Checkpoint, settings: Settings) -> tuple[BackboneReference, Mapping[str, Tensor]]:
    """A bare head stands on the base mode's network; a whole network is kept whole, whatever was changed in it."""
    head = {"weight": checkpoint.weight, "bias": checkpoint.bias}
    if checkpoint.backbone is None:
        weights = find_weights(settings)
        network = build(weights.name, weights.state_dict())
        key = fingerprint(network.backbone.state_dict())
        return BackboneReference(name=weights.name, fingerprint=key), head
    try:
        network = build(
            CHECKPOINT_NETWORK, {**checkpoint.backbone, "fc.weight": head["weight"], "fc.bias": head["bias"]}
        )
    except WeightsError as error:
        raise ModelError(str(error).rstrip(".")) from error
    key = fingerprint(network.backbone.state_dict())
    return BackboneReference(name=CHECKPOINT_NETWORK, fingerprint=key, tuned=True), join(network)


def _from_version(folder: Path, order: Order, settings: Settings) -> tuple[Manifest, Mapping[str, Tensor]]:
    """A version made elsewhere, under this mode's name and next number; its parent is not known here."""
    if order.labels is not None:
        raise ModelError("a version brings its own labels: leave the labels file out")
    manifest, tensors = read_version(folder)
    title = Title(en=order.title_en or manifest.title.en, zh=order.title_zh or manifest.title.zh)
    changes = {
        "mode": order.mode,
        "version": next_version(settings.models_dir / order.mode),
        "title": title,
        "threshold": manifest.threshold if order.threshold is None else order.threshold,
        "parent": None,
        "options": {name: value for name, value in manifest.options.items() if name != "unknown"},  # another's folders
        "imported_from": f"{manifest.mode}@{manifest.version}",
    }
    return manifest.model_copy(update=changes), tensors


def _unpack(opened: zipfile.ZipFile, folder: Path) -> None:
    """Take the manifest and the tensors, and nothing else, under names of our own."""
    names = opened.namelist()
    manifests = [name for name in names if name == MANIFEST or (name.count("/") == 1 and name.endswith(f"/{MANIFEST}"))]
    if len(manifests) != 1 or any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise ModelError(f"the zip does not hold one version: a {MANIFEST}, and beside it {HEAD} or {NETWORK}")
    room = manifests[0].removesuffix(MANIFEST)
    if opened.getinfo(manifests[0]).file_size > _MAX_MANIFEST_BYTES:
        raise ModelError(f"{MANIFEST} is too large")
    try:
        for name in (MANIFEST, HEAD, NETWORK):
            if f"{room}{name}" in names:
                (folder / name).write_bytes(opened.read(f"{room}{name}"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise ModelError("the zip is damaged, or protected with a password") from error


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
