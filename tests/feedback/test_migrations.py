"""The tables come from migrations: at once, whole, once, and as the models say."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.command import upgrade as real_upgrade
from sqlalchemy import insert, inspect, select, text

from app.errors import ConfigError
from app.feedback.database import Database
from app.feedback.migrations import migrate, newest
from app.feedback.tables import Base, Correction
from tests.running import ROOT, clean_environment

MIGRATE = """
import json, sys
from app.feedback.database import Database
from app.feedback.migrations import migrate
database = Database(sys.argv[1])
print(json.dumps([migrate(database), "alembic" in sys.modules]))
database.close()
"""
KILLED = """
import os, sys
from app.feedback import migrations
from app.feedback.database import Database
upgrade = migrations._upgrade
migrations._upgrade = lambda connection: (upgrade(connection), os._exit(9))
migrations.migrate(Database(sys.argv[1]))
"""


def start(script: str, url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, url]
    return subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True)


def test_the_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_version_is_alembic_s_head() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(ROOT / "app" / "feedback" / "migrations"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == newest()


def test_of_processes_that_start_at_once_one_makes_the_tables_and_all_go_on(database_url: str) -> None:
    processes = [start(MIGRATE, database_url) for _ in range(3)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(changed for changed, _ in told) == [False, False, True]


def test_a_new_file_can_be_opened_by_several_at_the_same_moment(tmp_path: Path) -> None:
    def opened(database: Database, together: threading.Barrier) -> None:
        together.wait()
        database.engine.connect().close()
        database.close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(200):  # one in twenty would find it locked
            together = threading.Barrier(4)
            url = f"sqlite:///{tmp_path / f'{number}.sqlite'}"
            for done in [pool.submit(opened, Database(url), together) for _ in range(4)]:
                done.result()


def test_where_there_is_nothing_to_do_alembic_is_not_even_imported(database: Database, database_url: str) -> None:
    assert json.loads(start(MIGRATE, database_url).communicate(timeout=60)[0]) == [False, False]
    assert migrate(database) is False


def test_what_was_corrected_before_stays_as_it_was(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(database_url)
    monkeypatch.setattr("alembic.command.upgrade", partial(upgrade_to, "0001"))
    migrate(database)
    monkeypatch.undo()
    old = {"id": "a", "request_id": "r", "place": 0, "created": datetime.now(UTC), "mode": "birds", "version": "v1",
           "answer": "owl", "confidence": 0.7, "kind": "none", "status": "pending", "revision": 0}  # fmt: skip
    with database.engine.begin() as connection:
        connection.execute(insert(Correction).values(**old))
    assert migrate(database) is True
    with database.session() as session:
        row = session.scalars(select(Correction)).one()
        assert (row.answer, row.confidence, row.sureness) == ("owl", 0.7, None)
    database.close()


def upgrade_to(version: str, config: Any, _: str) -> None:
    """As `alembic.command.upgrade`, but not to the newest."""
    real_upgrade(config, version)


def test_a_process_killed_in_the_middle_leaves_the_database_as_it_was(database_url: str) -> None:
    killed = start(KILLED, database_url)
    killed.communicate(timeout=60)
    assert killed.returncode == 9
    database = Database(database_url)
    assert inspect(database.engine).get_table_names() == []
    assert migrate(database) is True
    assert "corrections" in inspect(database.engine).get_table_names()
    database.close()


def test_a_database_of_a_later_release_is_left_alone(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="later release"):
        migrate(database)


@pytest.mark.parametrize("url", ["nonsense", "mysql://somewhere/wanwu", "http://x", ":memory:"])
def test_an_address_of_no_database_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        Database(url)


def test_what_is_deleted_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'wanwu.db'}")
    with database.engine.connect() as connection:
        assert connection.execute(text("PRAGMA secure_delete")).scalar() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    database.close()
