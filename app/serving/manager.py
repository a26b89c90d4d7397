"""The ModelManager: which modes are served now, and following `models/` while serving."""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from app.config import Settings
from app.errors import ModelError, NotReady, UnknownMode
from app.registry.catalog import BASE_MODE, Entry, Signature, labels_beside, named, scan
from app.serving.loading import Loader
from app.serving.memory import give_back_memory
from app.serving.mode import Mode

LOG = logging.getLogger(__name__)
WATCH_INTERVAL_S = 0.5


class ModelManager:
    """Holds every mode in one table, replaced whole; a request takes its mode from the table once.

    The table is rebuilt aside: a mode that cannot be loaded is refused with its reason, and its predecessor goes on.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loader = Loader(settings)
        self._modes: Mapping[str, Mode] = {}
        self._problems: Mapping[str, str] = {}
        self._signatures: dict[str, Signature] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the base mode is loaded and warm; custom modes are warm before they enter the table."""
        return BASE_MODE in self._modes

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

    def modes(self) -> list[Mode]:
        """Every mode served now, the base mode first, then by key."""
        modes = self._modes
        return sorted(modes.values(), key=lambda mode: (mode.key != BASE_MODE, mode.key))

    def mode(self, key: str) -> Mode:
        """The mode of that key.

        Raises:
            NotReady: nothing is loaded yet. UnknownMode: there is none of that name.
        """
        modes = self._modes
        if not modes:
            raise NotReady(retry_after_s=2)
        try:
            return modes[key]
        except KeyError:
            raise UnknownMode(mode=key[:80]) from None

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
            self._modes = {**self._modes, task_name: mode}
        return mode

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
        """Follow `models/` twice a second, in a thread, until `close`."""
        self._stopping.clear()
        self._watcher = threading.Thread(target=self._watch, name="models-watcher", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._stopping.set()
        if self._watcher:
            self._watcher.join()

    def _watch(self) -> None:
        torch.set_num_threads(self._settings.torch_threads)  # a thread's own, and new modes are laid out for it
        while not self._stopping.wait(WATCH_INTERVAL_S):
            try:
                self.refresh()
            except Exception:
                LOG.exception("models/ could not be read; what is served goes on")

    def _refresh(self, base: Mode) -> None:
        with self._lock:
            entries = scan(self._settings.models_dir)
            modes, problems = dict(self._modes), dict(self._problems)
            for gone in self._signatures.keys() - entries.keys():
                modes.pop(gone, None)
                problems.pop(gone, None)
                del self._signatures[gone]
                LOG.info("mode %s is gone", gone)
            new = {key: entry for key, entry in entries.items() if self._signatures.get(key) != entry.signature}
            for key, entry in new.items():
                self._signatures[key] = entry.signature
                self._take(entry, base, modes, problems)
            self._problems = problems
            self._modes = {**modes, BASE_MODE: base}
            if new:
                give_back_memory()

    def _take(self, entry: Entry, base: Mode, modes: dict[str, Mode], problems: dict[str, str]) -> None:
        """Put one mode into the table under construction, or its reason into the problems."""
        try:
            mode = self._loader.custom(entry, base)
        except ModelError as error:
            problems[entry.key] = str(error)
            goes_on = ", the one before goes on" if entry.key in modes else ""
            LOG.warning("mode %s is refused: %s%s", entry.key, error, goes_on)
            return
        modes[entry.key] = mode
        problems.pop(entry.key, None)
        LOG.info("mode %s is served: %d classes, version %s", mode.key, len(mode.labels), mode.model.version)
