"""Real databases for the tests: SQLite in a file, and a PostgreSQL server of our own from Debian's package."""

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app.feedback.database import Database
from app.feedback.tables import Base

_START_S = 60


def migrate(database: Database) -> None:
    """Make the tables, until the migrations are here."""
    Base.metadata.create_all(database.engine)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """A server for this session; each call makes an empty database in it, and says its address."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="wanwu-pg-"))  # short: a socket's path has a limit; and not only for root
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [programs / "initdb", "-D", data, "-A", "trust", "-U", "wanwu", "-E", "UTF8", "--no-sync", "--locale=C"]
    subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"]
    with (folder / "log").open("wb") as log:
        command = [programs / "postgres", "-D", data, "-k", folder, *options]
        server = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(server, folder)
        yield lambda: _new_database(folder)
    finally:
        server.terminate()
        try:
            server.wait(20)  # for the last connection to go
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'wanwu.db'}"
    url: str = request.getfixturevalue("postgresql")()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with its tables."""
    opened = Database(database_url)
    migrate(opened)
    yield opened
    opened.close()


def _programs() -> Path:
    """The folder of PostgreSQL's programs, the newest where there are several."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    candidates = [Path(on_path)] if on_path else found
    if candidates:
        return candidates[-1].parent
    if os.environ.get("WANWU_REQUIRE_SHARED"):
        pytest.fail("PostgreSQL is missing, and this run must not skip what needs it: make services")
    pytest.skip("PostgreSQL is not installed (make services)")


def _connect(folder: Path) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(host=str(folder), user="wanwu", dbname="postgres", autocommit=True)


def _wait_for(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            _connect(folder).close()
            return  # noqa: TRY300
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")


def _new_database(folder: Path) -> str:
    name = f"wanwu_{uuid.uuid4().hex[:12]}"
    with _connect(folder) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return f"postgresql://wanwu@/{name}?host={folder}"
