"""One mode by name, loaded as the server would: what the commands that judge, teach from or export a mode need."""

from collections.abc import Sequence
from pathlib import Path

import torch

from app.config import Settings
from app.errors import ModelError
from app.registry.catalog import BASE_MODE, BUILT_IN, Entry, scan
from app.registry.manifest import is_key
from app.registry.state import MANIFEST
from app.serving.backbone import Backbone
from app.serving.loading import Loader
from app.serving.mode import Mode


def served_mode(name: str, settings: Settings, backbone: type[Backbone] = Backbone) -> Mode:
    """The mode `MODE` (its active version) or `MODE@VERSION`, on as many threads as the server has.

    `backbone`: the class its backbone is made of, where the caller needs more of it than serving does.

    Raises:
        ModelError: there is none of that name, or it cannot be served.
        WeightsError: there is no base model.
    """
    (mode,) = served_modes([name], settings, backbone)
    return mode


def served_modes(
    names: Sequence[str], settings: Settings, backbone: type[Backbone] = Backbone, loader: Loader | None = None
) -> list[Mode]:
    """The same for several, in order; those that stand on the same backbone share one. Raises as `served_mode`.

    `loader`: who loads them, where the caller goes on loading with what is in memory.
    """
    torch.set_num_threads(settings.torch_threads)
    entries = [None if name in BUILT_IN else _entry(name, settings.models_dir) for name in names]
    loader = loader or Loader(settings, backbone)
    base = loader.base()
    modes = []
    for name, entry in zip(names, entries, strict=True):
        try:
            modes.append(loader.custom(entry, base) if entry else _built_in(name, loader, base))
        except ModelError as error:
            raise ModelError(f"The mode {name} cannot be used: {error}.") from error
    return modes


def _built_in(name: str, loader: Loader, base: Mode) -> Mode:
    if name == BASE_MODE:
        return base
    mode = loader.base_ensemble(base)
    if mode is None:
        raise ModelError("the weights of one of its networks are not here (python -m app fetch-weights)")
    return mode


def _entry(name: str, models_dir: Path) -> Entry:
    key, _, version = name.partition("@")
    if not version:
        entry = scan(models_dir).get(key)
    else:
        known = is_key(key) and is_key(version) and (models_dir / key / version / MANIFEST).is_file()
        entry = Entry(key, models_dir / key / version) if known else None
    if entry is None:
        raise ModelError(f"There is no trained mode or version called {name!r}.")
    return entry
