"""Real databases for the tests: SQLite in a file, and a PostgreSQL server of our own from Debian's package."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from app.feedback.database import Database
from app.feedback.migrations import migrate

_START_S = 60


class PostgreSQL:
    """A server of our own, on a socket in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Make its data; it is not started yet."""
        self.folder, self._programs = folder, _programs()
        self._user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if self._user:
            shutil.chown(folder, self._user)
        options = ["-A", "trust", "-U", "wanwu", "-E", "UTF8", "--no-sync", "--locale=C"]
        made = [self._programs / "initdb", "-D", folder / "data", *options]
        subprocess.run(made, user=self._user, cwd=folder, check=True, capture_output=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"]
        with (self.folder / "log").open("ab") as log:
            command = [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *options]
            self._server = subprocess.Popen(command, user=self._user, cwd=self.folder, stdout=log, stderr=log)
        _wait_for(self._server, self.folder)

    def stop(self) -> None:
        """Stop it, whoever is still connected."""
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def new_database(self) -> str:
        """The address of an empty database."""
        return _new_database(self.folder)


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server, started; stopped and forgotten at the end."""
    folder = Path(tempfile.mkdtemp(prefix="wanwu-pg-"))  # short: a socket's path has a limit; and not only for root
    try:
        server = PostgreSQL(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """A server for this session; each call makes an empty database in it, and says its address."""
    with postgresql_server() as server:
        yield server.new_database


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
        with suppress(psycopg.OperationalError):
            return _connect(folder).close()
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")


def _new_database(folder: Path) -> str:
    name = f"wanwu_{uuid.uuid4().hex[:12]}"
    with _connect(folder) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return f"postgresql://wanwu@/{name}?host={folder}"
