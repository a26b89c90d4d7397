"""The server's own housekeeping: the tables are made as it starts, and old corrections are forgotten once a day."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.errors import OperatorError
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.feedback.retention import prune
from app.feedback.trouble import one_line
from app.registry.sharing import StoreAway

LOG = logging.getLogger(__name__)
DAY_S = 24 * 3600
AGAIN_S = 30
"""Until the next try, where the database does not answer."""


class Upkeep:
    """A thread of its own, because recognition waits for no database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_trouble = ""

    def start(self) -> None:
        """Begin in the background."""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def once(self) -> bool:
        """Do it now; says whether it worked. A failure is one sentence in the log, the same one only once."""
        try:
            migrate(self._database)
            prune(self._database, self._settings.models_dir, self._settings.retention_days)
        except (SQLAlchemyError, OSError, OperatorError, StoreAway) as error:
            trouble = one_line(error)
            if trouble != self._last_trouble:
                LOG.warning("The database cannot be used, so corrections are refused until it can: %s", trouble)
            self._last_trouble = trouble
            return False
        if self._last_trouble:
            LOG.info("The database answers again.")
        self._last_trouble = ""
        return True

    def close(self) -> None:
        """Stop, once what is under way is done."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._closing.wait(wait):
            wait = DAY_S if self.once() else AGAIN_S
