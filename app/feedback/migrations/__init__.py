"""The tables' history: each file in `versions/` leads from one shape of the database to the next."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from app.errors import ConfigError
from app.feedback.database import Database

FOLDER = Path(__file__).resolve().parent
_LOCK = 0x77616E7775
"""The advisory lock of PostgreSQL's under which the schema changes: "wanwu"."""


def migrate(database: Database) -> bool:
    """Bring the schema up to date, in one transaction; says whether there was something to do.

    Several processes may call it at once: one changes the schema, the others wait for it. Killed, it leaves the schema
    as it was. Alembic is imported only where there is something to do.

    Raises:
        SQLAlchemyError: the database cannot be reached or changed.
        OSError: the folder of SQLite's file cannot be made.
        ConfigError: the database belongs to a later release.
    """
    if database.is_sqlite and database.url.database:
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
    with database.engine.connect() as connection:
        if _is_new(connection):
            return False
    with database.engine.begin() as connection:
        connection.execute(text("BEGIN IMMEDIATE" if database.is_sqlite else f"SELECT pg_advisory_xact_lock({_LOCK})"))
        if _is_new(connection):  # another process was quicker
            return False
        _upgrade(connection)
        return True


def newest() -> str:
    """The version that this code's tables are of."""
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def _is_new(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    version = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
    if version > newest():
        raise ConfigError("The database is of a later release of Wanwu: update this one, or give it another database.")
    return version == newest()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
