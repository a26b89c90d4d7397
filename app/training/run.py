"""One run, from labelled photos to a version that the server picks up."""

import resource
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from app.config import Settings
from app.errors import DataError, ModelError
from app.photos.dataset import Dataset, Part, Sample, fingerprint, read_dataset, split
from app.photos.examination import Examination, examine
from app.photos.snapshot import Photo, snapshot_of
from app.registry.catalog import BUILT_IN
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title, is_key
from app.registry.state import active_version
from app.registry.versions import PHOTOS, next_version, write_version
from app.training.base import Base, forward_of, load_base, rough_forward_of
from app.training.calibration import Calibration, Judged, calibrate, labels_of
from app.training.device import choose_device
from app.training.features import FeatureReader
from app.training.frozen import Frozen
from app.training.options import TUNED
from app.training.order import Order, command_of
from app.training.outcome import Found, Outcome, metrics_of
from app.training.progress import SILENT, Progress
from app.training.report import Facts, in_chinese, report_files
from app.training.state import METRICS, SEARCH, UNPACKED, Workspace
from app.training.strangers import pictures_of
from app.training.trained import Trained
from app.training.unlabelled import learned_photos, read_unlabelled


def train(order: Order, settings: Settings, progress: Progress | None = None) -> Outcome:
    """Examine the photos, train, judge, and write a version.

    Raises:
        DataError: the photos or the order cannot be used. WeightsError: the backbone's weights are not here.
    """
    if not is_key(order.mode) or order.mode in BUILT_IN:
        raise DataError(
            f"'{order.mode}' cannot name a mode: letters, digits, '_', '-' and '.' can, "
            f"but not {' or '.join(BUILT_IN)}."
        )
    if (order.options.prune or order.options.qat) and order.options.recipe not in TUNED:
        raise DataError("--prune and --qat change the backbone: they need --recipe staged or full.")
    torch.set_num_threads(settings.torch_threads)
    workspace = Workspace(settings.models_dir, order.mode)
    finished = False
    try:
        outcome = _Run(order, settings, progress or SILENT, workspace).outcome()
        finished = True
    finally:
        workspace.close(clear=finished)
    return outcome


def help_search(order: Order, settings: Settings, progress: Progress) -> Facts:
    """Try options for a search that another process makes, and write no version; what its study holds by then.

    Raises:
        DataError: as `train`, or there is no such search.
    """
    torch.set_num_threads(settings.torch_threads)
    with TemporaryDirectory(prefix="wanwu-help-") as scratch:
        workspace = Workspace(Path(scratch), order.mode)
        try:
            return _Run(order, settings, progress, workspace).found()[2].facts
        finally:
            workspace.close()


@dataclass(slots=True)
class _Run:
    order: Order
    settings: Settings
    progress: Progress
    workspace: Workspace
    unlabelled: list[Photo] = field(default_factory=list)

    def outcome(self) -> Outcome:
        """All of it, in order."""
        began = time.perf_counter()
        examination, frozen, found = self.found()
        self.order = replace(self.order, options=found.options)
        frozen = replace(frozen, options=found.options)
        options, dataset, base, given = found.options, frozen.dataset, frozen.base, not frozen.held_back
        identity = {
            "options": options.model_dump(),
            "data": fingerprint(dataset),
            "backbone": base.fingerprint,
            "unknown": [str(folder) for folder in self.order.unknown],
        }
        identity |= {"unlabelled": [photo.sha256 for photo in self.unlabelled]} if self.unlabelled else {}
        if self.workspace.begin(identity, resume=self.order.resume):
            self.progress.say("Going on where the run was stopped.", "从上次中断的地方继续。")
        trained = self._train(frozen)
        if trained.history:
            reason = trained.stopped_because
            self.progress.say(f"Stopped: {reason}.", f"训练停止：{in_chinese(reason)}。")
        self.workspace.log(trained.history, afresh=True)
        trained = replace(trained, search=found.facts or None)
        return self._write(base, examination, trained, str(identity["data"]), self._learned(held_back=not given), began)

    def found(self) -> tuple[Examination, Frozen, Found]:
        """The photos looked over, the backbone to read them through, and the options: those given, or those found."""
        order = self.order
        base = load_base(order.options.network, self.settings)
        examination, given = self._examine()
        frozen = self._frozen(base, examination.dataset, held_back=not given)
        if order.search is None:
            return examination, frozen, Found(order.options, {})
        from app.training.searching import search  # Optuna takes a second to import

        folder = self.settings.models_dir / ".training" / order.mode / SEARCH
        return examination, frozen, search(order.search, frozen, folder, resume=order.resume)

    def _examine(self) -> tuple[Examination, bool]:
        """The photos, looked over; and whether a validation part was given."""
        order = self.order
        options = order.options
        dataset = order.source
        if isinstance(dataset, Path):
            dataset = read_dataset(dataset, validation_share=0, workspace=self.workspace.folder / UNPACKED)
        given = bool(dataset.validation)
        if not given:
            kept, taken = split(dataset.train, share=options.validation_share, seed=options.seed)
            dataset = replace(dataset, train=tuple(kept), validation=tuple(taken))
        self.progress.start("examining photos", sum(len(part) for part in dataset.parts().values()))
        examination = examine(
            dataset,
            keep_leaks=order.options.keep_leaks,
            max_pixels=self.settings.max_pixels,
            progress=lambda done, total: self.progress.advance(),
        )
        self.progress.finish()
        for finding in examination.findings:
            self.progress.say(finding.sentence_en, finding.sentence_zh)
        if not examination.dataset.validation:
            raise DataError("There is no photo to validate on: give a val part, or more photos of each class.")
        return examination, given

    def _learned(self, *, held_back: bool) -> tuple[Part, ...]:
        """The parts that the weights learn from: what was held back here is learned from, too, where they are refit."""
        options = self.order.options
        again = held_back and options.refit and options.recipe not in TUNED
        return ("train", "validation") if again else ("train",)

    def _train(self, frozen: Frozen) -> Trained:
        options = frozen.options
        device = choose_device(options.device, options.precision)
        if options.teacher:
            from app.training.teacher import load_teacher

            frozen = replace(frozen, teacher=load_teacher(frozen, self.settings, device))
        if options.recipe not in TUNED:
            return frozen.train()
        from app.training.tuning import tune

        return tune(frozen, device, self.workspace, self.progress)

    def _frozen(self, base: Base, dataset: Dataset, *, held_back: bool) -> Frozen:
        options = self.order.options
        device = choose_device(options.device, options.precision)
        rough = None
        if options.precision == "auto" and (options.augmentation != "none" or self.order.search):
            rough = rough_forward_of(base.network, base.transform, device)
        reader = FeatureReader(
            forward=forward_of(base.network, base.transform, device),
            rough=rough,
            shortest_side=base.transform.resize,
            max_pixels=self.settings.max_pixels,
            seed=options.seed,
            workspace=self.workspace,
            progress=self.progress,
        )
        return Frozen(dataset, held_back, base, reader, options, unlabelled=self._unlabelled(base, dataset))

    def _unlabelled(self, base: Base, dataset: Dataset) -> tuple[Sample, ...]:
        options = self.order.options
        found = read_unlabelled(options, dataset, base.transform, self.settings.max_pixels, self.progress)
        self.unlabelled = learned_photos(found)
        return found

    def _write(
        self,
        base: Base,
        examination: Examination,
        trained: Trained,
        data_fingerprint: str,
        learned: tuple[Part, ...],
        began: float,
    ) -> Outcome:
        """Calibrate, look at the test part once, and write the version with its report."""
        dataset = examination.dataset
        strangers = pictures_of(self.order.unknown, self.settings.max_pixels, self.progress)
        labels = labels_of(dataset.validation)
        calibration = calibrate(trained, labels, len(dataset.classes), self.order.options, strangers)
        judged = calibration.judge(trained, dataset)
        self.progress.start("writing the report", 1)
        manifest = self._manifest(base, dataset, trained, calibration, judged, data_fingerprint)
        outcome = Outcome(
            mode=manifest.mode,
            version=manifest.version,
            folder=self.settings.models_dir / manifest.mode / manifest.version,
            dataset=dataset,
            findings=examination.findings,
            history=trained.history,
            stopped_because=trained.stopped_because,
            validation=judged.validation,
            test=judged.test,
            seconds=time.perf_counter() - began,
            peak_memory_mb=peak_memory_mb(),
            command=command_of(self.order),
            manifest=manifest,
            choice=calibration.choice,
            cross_validated=calibration.cross_validated,
            unknown=judged.unknown,
            search=trained.search,
            smaller=trained.smaller.table(dataset, self.settings.max_pixels, self.progress)
            if trained.smaller
            else None,
        )
        self._keep(outcome, trained, calibration, learned)
        self.progress.finish()
        return outcome

    def _keep(self, outcome: Outcome, trained: Trained, calibration: Calibration, learned: tuple[Part, ...]) -> None:
        models_dir, manifest = self.settings.models_dir, outcome.manifest
        files = report_files(outcome, max_pixels=self.settings.max_pixels, private=self.order.private)
        files |= {METRICS: self.workspace.metrics(), PHOTOS: snapshot_of(outcome.dataset, learned, self.unlabelled)}
        self.progress.advance()
        write_version(models_dir, manifest, trained.tensors, files, score=calibration.tensors, by=self.order.by)

    def _manifest(
        self,
        base: Base,
        dataset: Dataset,
        trained: Trained,
        calibration: Calibration,
        judged: Judged,
        data_fingerprint: str,
    ) -> Manifest:
        order = self.order
        mode_folder = self.settings.models_dir / order.mode
        return Manifest(
            mode=order.mode,
            version=next_version(mode_folder),
            created=datetime.now(UTC).replace(microsecond=0),
            title=Title(en=order.title_en or order.mode, zh=order.title_zh or order.mode),
            labels=[
                ManifestLabel(label=label, label_zh=label_zh)
                for label, label_zh in zip(dataset.classes, dataset.classes_zh or dataset.classes, strict=True)
            ],
            backbone=BackboneReference(name=base.network.name, fingerprint=base.fingerprint, tuned=trained.tuned),
            transform=base.transform,
            head=trained.kind,
            neighbours=trained.neighbours,
            temperature=calibration.temperature,
            score=calibration.score,
            threshold=calibration.threshold,
            probability_threshold=calibration.probability_threshold,
            accepted=calibration.accepted,
            metrics=metrics_of(judged.validation, judged.test, dataset.classes),
            options=order.options.model_dump() | {"chosen": dict(trained.chosen or {}), "unknown": order.strangers()},
            data_fingerprint=data_fingerprint,
            parent=parent_of(mode_folder),
        )


def peak_memory_mb() -> float:
    """The most memory that this process ever held, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # Linux counts in kilobytes


def parent_of(mode_folder: Path) -> str | None:
    """The version that serves as the next one is made, if any."""
    try:
        return active_version(mode_folder)
    except ModelError:
        return None
