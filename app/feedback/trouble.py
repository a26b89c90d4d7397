"""What goes wrong with the disk and the database, as errors that a caller is told of."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.errors import NotSaved, StorageFull
from app.registry import files

LOG = logging.getLogger(__name__)
RETRY_S = 10
_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
_POSTGRESQL_FULL = "53100"


@contextmanager
def told() -> Iterator[None]:
    """Within it the disk's and the database's failures are public errors; the log has the reason.

    Raises:
        StorageFull: there is no room. NotSaved: the database is away, locked or not set up, or the disk is not ours.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        LOG.warning("A correction was not saved or read: %s", one_line(error))
        if is_full(error):
            raise StorageFull from error
        raise NotSaved(retry_after_s=RETRY_S) from error


def is_full(error: SQLAlchemyError | OSError) -> bool:
    """Whether it says that there is no room."""
    if isinstance(error, OSError):
        return files.is_full(error)
    cause = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(cause, "sqlite_errorcode", None) or getattr(cause, "sqlstate", None)
    return code in (*_SQLITE_FULL, _POSTGRESQL_FULL)


def one_line(error: Exception) -> str:
    """Its reason, without the statement and its values, which may be a person's words."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]
