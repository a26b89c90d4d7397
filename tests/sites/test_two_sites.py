"""Two real servers, each with its own `models/`, on one S3 store and one PostgreSQL: together they are as one."""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.config import Settings
from app.registry.sharing import attach
from app.registry.site import open_site
from app.registry.state import activate, read_state
from app.serving.served import served_mode
from tests.conftest import write_head
from tests.databases import PostgreSQL, postgresql_server
from tests.running import ROOT, clean_environment, post, serving
from tests.sites.conftest import S3

pytestmark = pytest.mark.slow
FOLLOWED_S = 20.0
"""Three on a quiet machine, as what is printed shows."""
AWAY_S = 20.0


class Served(NamedTuple):
    """One site, as those that ask it see it; and its `models/`, as its own commands do."""

    port: int
    models: Path

    def version(self, picture: bytes) -> str:
        return str(post(self.port, picture, "?mode=birds")["model"]["version"])

    def store(self) -> tuple[str, float]:
        """What `/readyz` and `/metrics` say of it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("wanwu_store_up ")]
        return self.ask("GET", "/readyz")["store"], float(line.split()[1])

    def ask(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", content, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


class Sites(NamedTuple):
    here: Served
    there: Served
    database: PostgreSQL
    shared: dict[str, str]


@pytest.fixture(scope="module")
def sites(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Two servers; the mode "birds" has the versions v1 to v4, of which v1 is active."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        import s3fs

        bucket = f"sites-{uuid.uuid4().hex[:8]}"
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
        database = stack.enter_context(postgresql_server())
        shared = {"MODELS_STORE": f"s3://{bucket}/wanwu", "DATABASE_URL": database.new_database()}
        folders = [tmp_path_factory.mktemp(name) for name in ("here", "there")]
        for folder in folders:
            settings = Settings(models_dir=folder, models_store=shared["MODELS_STORE"])
            open_site(settings)
            stack.callback(attach, folder, None)
        base = served_mode("imagenet", Settings(models_dir=tmp_path_factory.mktemp("base")))
        for version in ("v1", "v2", "v3", "v4"):
            write_head(folders[0], "birds", base, ["owl", "kite"], version=version)
        more = {"ADMIN_LOOPBACK": "1", "TORCH_THREADS": "1", "RATE_LIMIT": "100000/minute", **s3.environment()}
        ports = [stack.enter_context(serving(folder, **shared, **more)) for folder in folders]
        here, there = (Served(port, folder) for port, folder in zip(ports, folders, strict=True))
        yield Sites(here, there, database, shared)


def until(is_so: Callable[[], bool], seconds: float) -> float:
    """Wait for it; how long it took."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, "it has not come about"
        time.sleep(0.02)
    return time.monotonic() - started


def load(site: Served, picture: bytes, stop: threading.Event, took: list[float], failed: list[str]) -> None:
    while not stop.is_set():
        started = time.monotonic()
        try:
            assert post(site.port, picture, "?mode=birds")["results"][0]["top"]
        except (OSError, AssertionError) as error:
            failed.append(error.read().decode() if isinstance(error, urllib.error.HTTPError) else repr(error))
        took.append(time.monotonic() - started)


def while_loaded(sites: Sites, picture: bytes, do: Callable[[], None]) -> tuple[list[float], list[str]]:
    """Do it while a caller asks each site without a pause: how long each answer took, and what failed."""
    took: list[float] = []
    failed: list[str] = []
    stop = threading.Event()
    callers = [
        threading.Thread(target=load, args=(site, picture, stop, took, failed)) for site in (sites.here, sites.there)
    ]
    for caller in callers:
        caller.start()
    try:
        time.sleep(1)
        do()
        time.sleep(1)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    return took, failed


def correct(site: Served, request_id: str) -> Any:
    body = {
        "request_id": request_id, "mode": "birds", "version": "v1", "answer": "owl", "confidence": 0.9,
        "kind": "label", "label": "kite",
    }  # fmt: skip
    return site.ask("POST", "/corrections", body)


def test_what_is_promoted_at_one_site_the_other_serves_within_three_seconds(sites: Sites, cat_jpeg: bytes) -> None:
    until(lambda: sites.there.version(cat_jpeg) == "v1", FOLLOWED_S)
    for place, other, version in ((sites.here, sites.there, "v2"), (sites.there, sites.here, "v3")):
        activate(place.models / "birds", version, action="promote", by="ann", why="")
        took = until(lambda other=other, version=version: other.version(cat_jpeg) == version, FOLLOWED_S)  # type: ignore[misc]
        print(f"{version}: {took:.2f} s")


def test_a_threshold_set_at_one_site_over_http_is_in_force_at_the_other(sites: Sites, cat_jpeg: bytes) -> None:
    sites.here.ask(
        "PUT",
        "/api/modes/birds/threshold",
        {"version": sites.here.version(cat_jpeg), "threshold": 0.83, "why": "too many strangers"},
    )
    until(lambda: post(sites.there.port, cat_jpeg, "?mode=birds")["threshold"] == 0.83, FOLLOWED_S)
    histories = [site.ask("GET", "/api/modes/birds/history") for site in (sites.here, sites.there)]
    assert histories[0] == histories[1]


def test_a_correction_sent_to_one_site_is_reviewed_at_the_other(sites: Sites) -> None:
    sent = correct(sites.here, uuid.uuid4().hex)["id"]
    assert sent in {entry["id"] for entry in sites.there.ask("GET", "/api/corrections")["entries"]}


def test_a_store_away_for_seconds_costs_no_answer_and_refuses_changes(sites: Sites, s3: S3, cat_jpeg: bytes) -> None:
    before = sites.there.version(cat_jpeg)
    refused: list[urllib.error.HTTPError] = []

    def away() -> None:
        s3.stop()
        try:
            with pytest.raises(urllib.error.HTTPError) as caught:
                sites.there.ask("PUT", "/api/modes/birds/threshold", {"version": "v1", "threshold": 0.5})
            refused.append(caught.value)
            for site in (sites.here, sites.there):
                until(lambda site=site: site.store() == ("away", 0), 30)  # type: ignore[misc]
            time.sleep(5)
        finally:
            s3.start()

    took, failed = while_loaded(sites, cat_jpeg, away)
    assert failed == []
    told = json.load(refused[0])
    assert (refused[0].code, told["code"]) == (503, "not_saved")
    assert "the store that all sites share does not answer" in told["detail"]
    assert sites.there.version(cat_jpeg) == before
    activate(sites.here.models / "birds", "v4", action="promote", by="ann", why="it answers again")
    print(f"{len(took)} answers, the slowest {max(took):.2f} s")
    until(lambda: sites.there.version(cat_jpeg) == "v4", FOLLOWED_S)
    until(lambda: sites.there.store() == ("answers", 1), FOLLOWED_S)


def test_of_changes_at_the_same_moment_at_two_sites_none_is_lost_and_who_was_slower_is_told(sites: Sites) -> None:
    def change(site: Served, versions: tuple[str, ...]) -> list[Any]:
        """Over HTTP, one after the other; the events that were answered, and None for each conflict."""
        events = []
        for to in versions:
            try:
                events.append(site.ask("POST", "/api/modes/birds/rollback", {"to": to}))
            except urllib.error.HTTPError as error:
                with error:
                    assert (error.code, json.load(error)["code"]) == (409, "conflict")
                events.append(None)
        return events

    def history(site: Served) -> Any:
        return site.ask("GET", "/api/modes/birds/history")["history"]

    for version in ("v1", "v2", "v3", "v4"):  # only what has served can be taken back to
        activate(sites.here.models / "birds", version, action="promote", by="ann", why="")
    until(lambda: history(sites.here) == history(sites.there), FOLLOWED_S)
    before = history(sites.here)
    with ThreadPoolExecutor(2) as pool:
        works = [
            pool.submit(change, sites.here, ("v1", "v2") * 4),
            pool.submit(change, sites.there, ("v3", "v4") * 4),
        ]
    done = [event for work in works for event in work.result() if event]
    print(f"{len(done)} of 16 changes were made, the others told of a conflict")
    until(lambda: history(sites.here) == history(sites.there), FOLLOWED_S)
    added = history(sites.here)[len(before) :]
    assert sorted(map(str, added)) == sorted(map(str, done))
    assert all(any(work.result()) for work in works)


def test_the_database_away_for_twenty_seconds_costs_no_answer(sites: Sites, cat_jpeg: bytes) -> None:
    other = "v1" if read_state(sites.here.models / "birds").active != "v1" else "v2"

    def away() -> None:
        sites.database.stop()
        try:
            time.sleep(AWAY_S / 2)
            activate(sites.here.models / "birds", other, action="promote", by="ann", why="S3 needs no database")
            until(lambda: sites.there.version(cat_jpeg) == other, FOLLOWED_S)
            time.sleep(AWAY_S / 2)
        finally:
            sites.database.start()

    took, failed = while_loaded(sites, cat_jpeg, away)
    print(f"{len(took)} answers, the slowest {max(took):.2f} s")
    assert failed == []
    assert max(took) < 10
    correct(sites.there, uuid.uuid4().hex)


def test_the_command_line_at_a_site_sees_and_changes_what_all_have(sites: Sites, s3: S3, tmp_path: Path) -> None:
    settings = read_state(sites.here.models / "birds")
    other = next(name for name in ("v1", "v2", "v3") if name != settings.active and name in settings.served())
    environment = clean_environment() | s3.environment() | {"MODELS_DIR": str(tmp_path), **sites.shared}
    rolled_back = [sys.executable, "-m", "app", "models", "rollback", "birds", "--to", other]
    subprocess.run(rolled_back, cwd=ROOT, env=environment, check=True)  # an empty cache: another machine
    assert read_state(tmp_path / "birds").active == other
    for site in (sites.here, sites.there):
        until(lambda site=site: read_state(site.models / "birds").active == other, FOLLOWED_S)  # type: ignore[misc]
