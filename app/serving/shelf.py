"""Versions that are asked without being in service."""

import threading
from collections import OrderedDict

from app.registry.catalog import Entry
from app.registry.state import history_of
from app.serving.loading import Loader
from app.serving.memory import give_back_memory
from app.serving.mode import Mode

KEPT = 3
"""A head on a shared backbone is small; a network of its own is as large as what serves."""


class Shelf:
    """Holds the last few of them. Safe to call from many threads: one loads, the others wait."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._modes: OrderedDict[tuple[str, str, float | None], Mode] = OrderedDict()
        self._lock = threading.Lock()

    def mode(self, entry: Entry) -> Mode:
        """The version whose folder is `entry.path`, at the threshold that is set for it now.

        Raises:
            ModelError: it cannot be served.
        """
        threshold = history_of(entry.path.parent).thresholds.get(entry.path.name)
        place = (entry.key, entry.path.name, threshold)
        with self._lock:
            mode = self._modes.get(place)
            if mode is None:
                mode = self._modes[place] = self._loader.version(entry)
                if len(self._modes) > KEPT:
                    self._modes.popitem(last=False)
                give_back_memory()
            self._modes.move_to_end(place)
        return mode
