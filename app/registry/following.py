"""A site follows the store that it shares with others, in a thread; the ModelManager follows `models/` as ever."""

import fcntl
import logging
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from app.config import Settings
from app.registry.sharing import StoreAway

if TYPE_CHECKING:
    from app.registry.site import Site

LOG = logging.getLogger(__name__)
FOLLOW_S = 1.0
_DOOR = ".follower"
_AWAY = ".store-away"
"""A file that is there while the store is not: the process that follows tells the others."""


class Follower:
    """Of a site's processes one follows for all, and another takes over where it ends; without a store nobody does."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError where MODELS_STORE is wrong."""
        self._models_dir = settings.models_dir
        self._site = _open(settings)
        self._is_away = False
        self._door: IO[str] | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def once(self) -> None:
        """Bring all modes up to date, now. A store that does not answer is one line in the log: the cache serves."""
        if self._site is None:
            return
        try:
            self._site.follow()
        except StoreAway as error:
            if not self._is_away:
                cause = error.__cause__ or error
                LOG.warning(
                    "The store does not answer, so nothing can be changed until it does; what is here goes on: %s: %s",
                    type(cause).__name__, next(iter(str(cause).splitlines()), ""),
                )  # fmt: skip
            self._is_away = True
            self._tell(away=True)
            return
        if self._is_away:
            LOG.info("The store answers again.")
        self._is_away = False
        self._tell(away=False)

    def start(self) -> None:
        """Follow once a second, until `close`."""
        if self._site is not None:
            self._closing.clear()
            self._thread = threading.Thread(target=self._run, name="store-follower", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop, once what is under way is done."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        trouble = ""
        while not self._closing.wait(FOLLOW_S):
            try:
                if self._is_mine():
                    self.once()
                trouble = ""
            except Exception as error:  # whatever it is, it must not be the last look
                if trouble != str(error):
                    LOG.exception("The store could not be followed; what is here goes on")
                trouble = str(error)
        if self._door is not None:
            self._door.close()
            self._door = None

    def _tell(self, *, away: bool) -> None:
        sign = self._models_dir / _AWAY
        with suppress(OSError):  # a full disk: what it would say is no reason to stop
            if away:
                sign.touch()
            else:
                sign.unlink(missing_ok=True)

    def _is_mine(self) -> bool:
        """Whether this process is the one that follows; from the first time that it is, until it ends."""
        if self._door is not None:
            return True
        door = (self._models_dir / _DOOR).open("w")
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            door.close()
            return False
        self._door = door
        return True


def store_answers(settings: Settings) -> bool | None:
    """Whether the store answered when this site last asked it, whichever of its processes did; None: there is none."""
    return None if settings.models_store is None else not (settings.models_dir / _AWAY).exists()


def _open(settings: Settings) -> "Site | None":
    """What a store needs is imported only where there is one."""
    if settings.models_store is None:
        return None
    from app.registry.site import open_site

    return open_site(settings)
