"""Whether a `models/` is one of several sites' that share a store, and what a change of a mode then also has to do.

`state` asks here, and knows nothing of stores; where none is attached, as on one machine, the answer is always None.
"""

from datetime import datetime
from pathlib import Path
from typing import Protocol

from app.errors import Conflict, NotSaved


class ChangedElsewhere(Conflict):
    """Takes `mode`. Of several sites that share a store another was quicker."""

    sentence_en = "Another site has just changed the mode {mode}: please look at it again."
    sentence_zh = "另一站点刚刚更改了模式 {mode}，请刷新后再看。"


class StoreAway(NotSaved):
    """The store of all sites, where its base is the database."""

    sentence_en = "This could not be saved: the store that all sites share does not answer just now. Please try later."
    sentence_zh = "暂时无法保存：各站点共用的存储没有响应，请稍后再试。"


class Change(Protocol):
    """A change of one mode while this site holds it: what lies here is the newest there is."""

    def publish(self, state: str) -> None:
        """Make `state` (JSON), and the versions that lie here now, those of all sites, or of none: whole or not at all.

        Raises:
            ChangedElsewhere: another site was quicker. StoreAway: the store does not answer.
        """


class Site(Protocol):
    """One `models/` among several. `shares_records`: whether their database is one, too, and not each site's own."""

    shares_records: bool

    def changing(self, mode_folder: Path) -> Change:
        """Bring a mode up to date, and begin to change it. Only under the mode's lock.

        Raises:
            StoreAway: the store does not answer. ModelError: what it holds of the mode cannot be used.
        """

    def put(self, name: str, content: bytes) -> None:
        """Keep a small file in the store, beside the versions. Raises StoreAway, as all that follow."""

    def get(self, name: str) -> bytes | None:
        """That file; None where there is none."""

    def remove(self, name: str) -> None:
        """Forget it; one that is not there is forgotten already."""

    def names(self, folder: str) -> dict[str, datetime]:
        """The files in a folder of the store, and when each was put there."""


_sites: dict[Path, Site] = {}


def attach(models_dir: Path, site: Site | None) -> None:
    """Let all changes under `models_dir` go through `site`, in this process; None: through nothing, as ever."""
    if site is None:
        _sites.pop(models_dir.resolve(), None)
    else:
        _sites[models_dir.resolve()] = site


def site_of(mode_folder: Path) -> Site | None:
    """The site that a mode's folder belongs to; None for all others, such as those with a dot that are of no mode."""
    return None if mode_folder.name.startswith(".") else site_at(mode_folder.parent)


def site_at(models_dir: Path) -> Site | None:
    """The site whose `models/` that is, if it is one among several."""
    return _sites.get(models_dir.resolve()) if _sites else None
