"""Whether the database answers, for those who cannot wait until it does."""

import threading

from sqlalchemy import text

from app.feedback.database import Database

WAIT_S = 0.5


class Pulse:
    """Asks in a thread of its own, one at a time: a database that hangs holds up that thread and no caller."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answered = False
        self._asking: threading.Thread | None = None
        self._lock = threading.Lock()

    def answers(self) -> bool:
        """Whether it can be read now, its tables made; False where it has not said so within `WAIT_S`."""
        with self._lock:
            if self._asking is None or not self._asking.is_alive():
                self._asking = threading.Thread(target=self._ask, name="pulse", daemon=True)
                self._asking.start()
            asking = self._asking
        asking.join(WAIT_S)
        return self._answered and not asking.is_alive()

    def _ask(self) -> None:
        try:
            with self._database.engine.connect() as connection:
                connection.execute(text("SELECT version_num FROM alembic_version"))
        except Exception:  # whatever a database's driver says
            self._answered = False
        else:
            self._answered = True
