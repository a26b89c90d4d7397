"""The ModelManager: which modes are served now, and following `models/` while serving."""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from app.config import Settings
from app.errors import ModelError, NotReady, UnknownMode, WeightsError
from app.registry.catalog import BASE_MODE, ENSEMBLE_MODE, Entry, Signature, identity, labels_beside, named, scan
from app.registry.following import Follower
from app.registry.state import Trial
from app.serving.arms import Arms, Contender
from app.serving.loading import Loader
from app.serving.memory import give_back_memory
from app.serving.mode import Mode
from app.serving.shelf import Shelf
from app.serving.strikes import Strikes

LOG = logging.getLogger(__name__)
WATCH_INTERVAL_S = 0.5

_Seen = tuple[Signature, Trial | None, Mapping[str, float]]


class ModelManager:
    """Holds every mode in one table, replaced whole; a request takes its mode, and the trial beside it, in one step.

    The table is rebuilt aside: a mode that cannot be loaded is refused with its reason, and its predecessor goes on.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loader = Loader(settings)
        self._follower = Follower(settings)
        self._table: Mapping[str, Arms] = {}
        self._problems: Mapping[str, str] = {}
        self._loading: str | None = BASE_MODE
        self._shelf = Shelf(self._loader)
        self._seen: dict[str, _Seen] = {}
        self._folder: tuple[int, int] | None = None
        self._away = False
        self.strikes = Strikes(settings.models_dir)
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the base mode is loaded and warm; custom modes are warm before they enter the table."""
        return BASE_MODE in self._table

    @property
    def loading(self) -> str | None:
        """The mode that all wait for, before the first table is there; None from then on."""
        return None if self.ready else self._loading

    @property
    def problems(self) -> Mapping[str, str]:
        """Modes under `models/` that were refused, by key, with the reason."""
        return self._problems

    def load(self) -> None:
        """Load the base mode and all others, warm. With `TORCH_THREADS` threads from here on.

        Raises:
            WeightsError: there is no base model to serve.
        """
        torch.set_num_threads(self._settings.torch_threads)
        self._follower.once()
        base = self._loader.base()
        LOG.info(
            "imagenet is served by %s %s (%s, %s, sha256 %s)",
            base.model.name,
            base.model.version,
            base.model.precision,
            base.model.origin,
            base.model.sha256,
        )
        self._refresh(base)
        give_back_memory()

    def load_ensemble(self) -> None:
        """Load `imagenet-ensemble`, where the weights of its networks are here; all else is served meanwhile."""
        torch.set_num_threads(self._settings.torch_threads)  # a thread's own, and its networks are laid out for it
        try:
            mode = self._loader.base_ensemble(self.mode(BASE_MODE))
        except WeightsError as error:
            LOG.warning("%s is not offered: %s", ENSEMBLE_MODE, error)
            return
        if mode is None:
            return
        with self._lock:
            self._table = {**self._table, ENSEMBLE_MODE: Arms(mode)}
        LOG.info("%s is served by %s", ENSEMBLE_MODE, mode.model.name)
        give_back_memory()

    def modes(self) -> list[Mode]:
        """Every mode served now, the built-in ones first, then by key."""
        modes = [arms.active for arms in self._table.values()]
        return sorted(modes, key=lambda mode: (mode.key != BASE_MODE, mode.key != ENSEMBLE_MODE, mode.key))

    def arms(self, key: str) -> Arms:
        """The mode of that key, and what is tried beside it.

        Raises:
            NotReady: nothing is loaded yet. UnknownMode: there is none of that name.
        """
        table = self._table
        if not table:
            raise NotReady(retry_after_s=2)
        try:
            return table[key]
        except KeyError:
            raise UnknownMode(mode=key[:80]) from None

    def mode(self, key: str) -> Mode:
        """The mode of that key, in its active version. Raises as `arms`."""
        return self.arms(key).active

    @property
    def splits(self) -> bool:
        """Whether some mode shares its callers out between two versions."""
        return any(arms.splits for arms in self._table.values())

    def predict(self, tensor: Tensor, mode: str = BASE_MODE) -> Tensor:
        """Probabilities `[n, classes]` for a batch float32 `[n, 3, h, w]` (or one picture `[3, h, w]`), normalised.

        Raises:
            NotReady, UnknownMode: as `mode`.
        """
        return self.predict_modes(tensor, [mode])[mode]

    def predict_modes(self, tensor: Tensor, modes: Sequence[str]) -> dict[str, Tensor]:
        """The same for several modes at once: one pass through each backbone, however many modes stand on it."""
        batch = tensor.unsqueeze(0) if tensor.ndim == 3 else tensor  # noqa: PLR2004
        asked = {key: self.mode(key) for key in modes}
        features = {
            mode.backbone: mode.backbone.features(batch) for mode in {m.backbone: m for m in asked.values()}.values()
        }
        return {key: mode.probabilities(features[mode.backbone]) for key, mode in asked.items()}

    def load_custom_head(self, task_name: str, ckpt_path: str | Path, num_classes: int) -> Mode:
        """Serve a plain checkpoint as the mode `task_name`, in this process; a mode of that name is replaced.

        `ckpt_path`: a `.pth` state_dict (see `registry.checkpoint`) with a labels file beside it.

        Raises:
            ModelError: it cannot be served, or has not `num_classes` classes; what was served goes on.
        """
        path = Path(ckpt_path)
        entry = named(Entry(task_name, path, labels_beside(path)))
        with self._lock:
            mode = self._loader.custom(entry, self.mode(BASE_MODE))
            if len(mode.labels) != num_classes:
                raise ModelError(f"{task_name} has {len(mode.labels)} classes, not {num_classes}")
            self._table = {**self._table, task_name: Arms(mode)}
        return mode

    def version(self, key: str, version: str) -> Mode:
        """A version of a mode, in service or not; the last few that were asked for stay in memory.

        Raises:
            ModelError: it cannot be served. It is for the caller to know that there is such a version.
        """
        arms = self._table.get(key)
        served = [arms.active, *([arms.contender.mode] if arms.contender else [])] if arms else []
        for mode in served:
            if mode.model.version == version:
                return mode
        torch.set_num_threads(self._settings.torch_threads)  # a thread's own; what is loaded here may be shared
        return self._shelf.mode(Entry(key, self._settings.models_dir / key / version))

    def check(self, entry: Entry) -> None:
        """Load the version at `entry` as for serving, and let go of it.

        Raises:
            ModelError: it cannot be served.
        """
        torch.set_num_threads(self._settings.torch_threads)  # a thread's own; what is loaded here may be shared
        self._loader.version(entry)
        give_back_memory()

    def refresh(self) -> None:
        """Follow `models/`: load what is new or changed, drop what is gone, keep what cannot be replaced."""
        self._refresh(self.mode(BASE_MODE))

    def watch(self) -> None:
        """Follow `models/` twice a second, in a thread, until `close`; first of all that loads `imagenet-ensemble`."""
        self._stopping.clear()
        self._watcher = threading.Thread(target=self._watch, name="models-watcher", daemon=True)
        self._watcher.start()
        self._follower.start()

    def close(self) -> None:
        """Stop watching."""
        self._stopping.set()
        self._follower.close()
        if self._watcher:
            self._watcher.join()

    def _watch(self) -> None:
        torch.set_num_threads(self._settings.torch_threads)  # a thread's own, and new modes are laid out for it
        try:
            self.load_ensemble()
        except Exception:
            LOG.exception("%s cannot be loaded; what is served goes on", ENSEMBLE_MODE)
        while not self._stopping.wait(WATCH_INTERVAL_S):
            try:
                self.refresh()
            except Exception:
                LOG.exception("models/ could not be read; what is served goes on")

    def _refresh(self, base: Mode) -> None:
        with self._lock:
            entries = scan(self._settings.models_dir)
            if self._is_away(entries):
                return
            table, problems = dict(self._table), dict(self._problems)
            for gone in self._seen.keys() - entries.keys():
                table.pop(gone, None)
                problems.pop(gone, None)
                del self._seen[gone]
                LOG.info("mode %s is gone", gone)
            new = [entry for key, entry in entries.items() if self._seen.get(key) != _seen(entry)]
            for entry in new:
                self._loading = entry.key
                before = table.get(entry.key)
                active = self._active(entry, base, before, problems)
                if active is not None:
                    table[entry.key] = self._arms(active, entry, base, before)
                self._seen[entry.key] = _seen(entry)
            self._problems = problems
            self._table = {**table, BASE_MODE: Arms(base)}
            if new:
                give_back_memory()

    def _is_away(self, entries: Mapping[str, Entry]) -> bool:
        """Whether the folder that modes were loaded from is not there: moved, or its disk is not mounted."""
        folder = identity(self._settings.models_dir)
        is_away = bool(self._seen) and not entries and folder != self._folder
        if is_away and not self._away:
            LOG.warning("models/ is not there any more; what is served goes on from memory")
        self._away = is_away
        if not is_away:
            self._folder = folder
        return is_away

    def _active(self, entry: Entry, base: Mode, before: Arms | None, problems: dict[str, str]) -> Mode | None:
        """The mode that serves from now on: a new one, or the one before where it is the same or the new is refused."""
        served = before.active if before else None
        seen = self._seen.get(entry.key)
        if seen and seen[0] == entry.signature and _same_threshold(seen, entry, entry.path.name):
            return served
        try:
            mode = self._loader.custom(entry, base)
        except ModelError as error:
            problems[entry.key] = str(error)
            goes_on = ", the one before goes on" if served else ""
            LOG.warning("mode %s is refused: %s%s", entry.key, error, goes_on)
            return served
        problems.pop(entry.key, None)
        LOG.info("mode %s is served: %d classes, version %s", mode.key, len(mode.labels), mode.model.version)
        return mode

    def _arms(self, active: Mode, entry: Entry, base: Mode, before: Arms | None) -> Arms:
        """The active version with the trial beside it, if one runs; one that cannot be loaded leaves it alone."""
        plan = entry.trial
        if plan is None:
            return Arms(active)
        running = before.contender if before else None
        seen = self._seen.get(entry.key)
        if running and seen and running.plan.version == plan.version and _same_threshold(seen, entry, plan.version):
            return Arms(active, Contender(running.mode, plan))  # versions never change; perhaps its share did
        try:
            mode = self._loader.custom(Entry(entry.key, entry.path.parent / plan.version), base)
        except Exception as error:  # whatever it is, it must not keep others from being followed
            reason = str(error) if isinstance(error, ModelError) else f"it cannot be loaded ({type(error).__name__})"
            LOG.warning("the trial of %s %s is refused: %s", entry.key, plan.version, error)
            return Arms(active, refused=reason)
        LOG.info("mode %s tries the version %s (%s, share %g)", entry.key, plan.version, plan.kind, plan.share)
        return Arms(active, Contender(mode, plan))


def _seen(entry: Entry) -> _Seen:
    return entry.signature, entry.trial, entry.thresholds


def _same_threshold(seen: _Seen, entry: Entry, version: str) -> bool:
    return seen[2].get(version) == entry.thresholds.get(version)
