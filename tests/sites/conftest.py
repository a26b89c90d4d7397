"""What several sites share: an S3-compatible server of moto's, and stores of both kinds."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from app.config import Settings
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.registry import job_book
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.sharing import attach
from app.registry.site import Site, open_site
from app.registry.versions import write_version
from tests.running import free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class S3:
    """moto's server on a port of its own, which can be stopped and started again: what it holds is kept."""

    def __init__(self) -> None:
        self.port = free_port()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._turn = threading.Lock()
        self.start()

    def start(self) -> None:
        self.server = make_server("127.0.0.1", self.port, self._in_turn, threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def _in_turn(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        """S3 writes on a condition in one step; moto asks first and writes then, so that two could do both at once."""
        with self._turn:
            return list(self._moto(environ, start_response))

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip


class Place(NamedTuple):
    """One site: its settings, and what keeps it in step."""

    settings: Settings
    site: Site

    @property
    def models(self) -> Path:
        return self.settings.models_dir

    def write(self, version: str, shift: float = 0.0, mode: str = "birds") -> Path:
        """Write a version whose tensors are all of `shift`; it need not be one that can be served."""
        manifest = Manifest(
            mode=mode, version=version, created=datetime(2026, 1, 1, tzinfo=UTC), title=Title(en=mode, zh=mode),
            labels=[ManifestLabel(label="owl"), ManifestLabel(label="kite")],
            backbone=BackboneReference(name="none", fingerprint="none"), threshold=0.5,
        )  # fmt: skip
        tensors = {"weight": torch.full((2, 4), shift), "bias": torch.zeros(2)}
        return write_version(self.models, manifest, tensors, {"report.html": b"<p>fine</p>"})


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty bucket of this test's own."""
    import s3fs

    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    name = f"wanwu-{abs(hash(request.node.nodeid)):x}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
    return name


@pytest.fixture(params=["s3", "file"])
def shared_settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What all sites set alike: an S3 store, which knows conditional writes, or a shared folder; and PostgreSQL."""
    url: str = request.getfixturevalue("postgresql")()
    database = Database(url)
    migrate(database)
    database.close()
    if request.param == "s3":
        return {"models_store": f"s3://{request.getfixturevalue('bucket')}/wanwu", "database_url": url}
    (tmp_path / "store").mkdir()
    return {"models_store": f"file://{tmp_path}/store", "database_url": url}


@pytest.fixture
def new_place(shared_settings: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Make a site of that name."""
    made = []

    def make(name: str) -> Place:
        models = tmp_path / name
        models.mkdir()
        settings = Settings(models_dir=models, **shared_settings)  # type: ignore[arg-type]
        site = open_site(settings)
        assert site is not None
        made.append(models)
        return Place(settings, site)

    yield make
    for models in made:
        attach(models, None)
        job_book._books.pop(models.resolve(), None)


@pytest.fixture
def here(new_place: Callable[[str], Place]) -> Place:
    return new_place("here")


@pytest.fixture
def there(new_place: Callable[[str], Place]) -> Place:
    return new_place("there")
