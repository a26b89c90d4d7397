"""Two `models/` on one store: what one site does the other has, two at once do not undo each other, nothing is half."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from app.config import Settings
from app.errors import ConfigError, ModelError
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.registry import job_book
from app.registry import site as site_module
from app.registry.documents import Moved
from app.registry.following import Follower
from app.registry.library import delete_version, read_mode
from app.registry.sharing import ChangedElsewhere, StoreAway, attach
from app.registry.site import open_site, read_record
from app.registry.state import activate, complete_versions, new_trial, read_state, set_threshold, set_trial
from tests.databases import postgresql_server
from tests.running import ROOT, clean_environment
from tests.sites.conftest import S3, Place


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_version_written_at_one_site_is_whole_at_the_other_before_its_state_names_it(
    here: Place, there: Place
) -> None:
    written = here.write("v1", 1.0)
    there.site.follow()
    assert contents(there.models / "birds" / "v1") == contents(written)
    assert read_state(there.models / "birds") == read_state(here.models / "birds")
    assert read_state(there.models / "birds").active == "v1"


def test_a_version_that_nobody_has_promoted_can_be_promoted_at_the_other_site(here: Place, there: Place) -> None:
    here.write("v1", 1.0)
    here.write("v2", 2.0)
    there.site.follow()
    event = activate(there.models / "birds", "v2", action="promote", by="ann", why="better")
    here.site.follow()
    state = read_state(here.models / "birds")
    assert state.active == "v2"
    assert state.history[-1] == event


def test_trials_thresholds_and_deletions_are_of_all_sites(here: Place, there: Place) -> None:
    for version in ("v1", "v2", "v3"):
        here.write(version)
    there.site.follow()
    trial = new_trial("v2", "split", 0.25)
    set_trial(there.models / "birds", trial, by="ann", why="")
    set_threshold(here.models / "birds", "v1", 0.7, by="ben", why="")
    delete_version(there.models, "birds", "v3", by="ann")
    here.site.follow()
    for place in (here, there):
        state = read_state(place.models / "birds")
        assert (state.trial, state.thresholds) == (trial, {"v1": 0.7})
        assert [event.action for event in state.history] == ["first", "trial", "threshold", "delete"]
        assert complete_versions(place.models / "birds").keys() == {"v1", "v2"}


def test_a_change_is_made_of_the_newest_state_even_where_the_site_has_not_followed_yet(
    here: Place, there: Place
) -> None:
    here.write("v1")
    here.write("v2")
    set_threshold(there.models / "birds", "v2", 0.9, by="ben", why="")  # this site has not looked once
    activate(here.models / "birds", "v2", action="promote", by="ann", why="")
    assert read_state(here.models / "birds").thresholds == {"v2": 0.9}


def test_of_two_sites_that_promote_at_once_each_is_in_the_history_or_is_told(here: Place, there: Place) -> None:
    for number in range(1, 10):
        here.write(f"v{number}", number)
    there.site.follow()
    for number in range(2, 10, 2):
        both = Barrier(2)

        def promote(place: Place, version: str, both: Barrier = both) -> bool:
            both.wait()
            try:
                activate(place.models / "birds", version, action="promote", by=version, why="")
            except ChangedElsewhere:
                return False
            return True

        with ThreadPoolExecutor(2) as threads:
            asked = {f"v{number}": here, f"v{number + 1}": there}
            done = dict(zip(asked, threads.map(promote, asked.values(), asked), strict=True))
        here.site.follow()
        there.site.follow()
        histories = [read_state(place.models / "birds").history for place in (here, there)]
        assert histories[0] == histories[1]
        written = {event.version for event in histories[0] if event.action == "promote"}
        assert {version for version, was_done in done.items() if was_done} == written & asked.keys()


def test_who_was_slower_is_told_and_has_the_other_s_state(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write("v1")
    here.write("v2")
    here.write("v3")
    swap = type(here.site._store.documents).swap

    def slow(self: object, mode: str, content: bytes, tag: str | None) -> str:
        if self is there.site._store.documents:  # the other is quicker by a hair
            activate(here.models / "birds", "v2", action="promote", by="ann", why="")
        return swap(self, mode, content, tag)  # type: ignore[arg-type]

    monkeypatch.setattr(type(here.site._store.documents), "swap", slow)
    with pytest.raises(ChangedElsewhere, match="Another site has just changed the mode birds"):
        activate(there.models / "birds", "v3", action="promote", by="ben", why="")
    there.site.follow()
    assert read_state(there.models / "birds") == read_state(here.models / "birds")
    assert read_state(there.models / "birds").active == "v2"


def test_two_sites_that_give_two_versions_one_name_keep_one_of_them(here: Place, there: Place) -> None:
    here.write("v1")
    there.site.follow()
    here.write("v2", 2.0)
    with pytest.raises(ModelError, match="exists already"):
        there.write("v2", 3.0)
    assert contents(there.models / "birds" / "v2") == contents(here.models / "birds" / "v2")


def test_a_version_that_is_damaged_in_the_store_is_not_taken(
    here: Place, there: Place, caplog: pytest.LogCaptureFixture
) -> None:
    here.write("v1", 1.0)
    there.site.follow()
    here.write("v2", 2.0)
    store = here.site._store
    digest = read_record(here.models / "birds").versions["v2"]
    store._fs.pipe_file(f"{store._root}/versions/birds/v2/{digest}/head.safetensors", b"something else")
    activate(here.models / "birds", "v2", action="promote", by="ann", why="")
    there.site.follow()
    assert "damaged in the store" in caplog.text
    assert read_state(there.models / "birds").active == "v1"
    assert not list((there.models / "birds").glob("v2"))


def test_a_site_that_had_a_mode_before_it_had_a_store_shares_it_with_its_first_change(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        alone.setattr("app.registry.state.site_of", lambda _: None)
        here.write("v1", 1.0)
        here.write("v2", 2.0)
    here.site.follow()
    there.site.follow()
    assert not (there.models / "birds").exists()
    activate(here.models / "birds", "v2", action="promote", by="ann", why="")
    there.site.follow()
    assert read_state(there.models / "birds").active == "v2"
    assert complete_versions(there.models / "birds").keys() == {"v1", "v2"}


def test_what_was_here_before_the_store_is_shared_at_a_word_and_not_twice(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        alone.setattr("app.registry.state.site_of", lambda _: None)
        for mode in ("birds", "fish"):
            here.write("v1", 1.0, mode)
    here.write("v1", 1.0, "trees")
    assert here.site.share() == ["birds", "fish"]
    assert here.site.share() == []
    there.site.follow()
    for mode in ("birds", "fish", "trees"):
        assert read_state(there.models / mode) == read_state(here.models / mode)
    assert there.site.share() == []


def test_another_version_of_a_name_that_was_never_shared_is_put_aside_and_not_lost(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        alone.setattr("app.registry.state.site_of", lambda _: None)
        theirs = contents(there.write("v1", 7.0))
    ours = contents(here.write("v1", 1.0))
    there.site.follow()
    assert contents(there.models / "birds" / "v1") == ours
    (aside,) = (there.models / "birds").glob(".replaced-v1-*")
    assert contents(aside) == theirs


def test_a_lost_cache_is_filled_again(here: Place, new_place: Callable[[str], Place]) -> None:
    here.write("v1", 1.0)
    before = contents(here.models / "birds" / "v1")
    shutil.rmtree(here.models / "birds")
    here.site.follow()
    assert contents(here.models / "birds" / "v1") == before
    assert contents(new_place("third").models) == {}


def test_a_temporary_models_folder_shares_nothing(here: Place, there: Place, tmp_path: Path) -> None:
    apart = Place(Settings(models_dir=tmp_path / "apart"), here.site)
    apart.write("v1")
    there.site.follow()
    assert not (there.models / "birds").exists()
    assert open_site(apart.settings) is None


def test_a_mode_that_does_not_fit_on_the_disk_keeps_no_other_from_being_followed(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for mode in ("ants", "birds", "cats"):
        here.write("v1", 1.0, mode)
    pull = there.site._store.pull

    def full(mode: str, *rest: Any) -> None:
        if mode == "birds":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        pull(mode, *rest)

    with monkeypatch.context() as small:
        small.setattr(there.site._store, "pull", full)
        there.site.follow()
        there.site.follow()
    assert [path.name for path in sorted(there.models.glob("*/v1"))] == ["v1", "v1"]
    assert caplog.text.count("mode birds cannot follow the store: [Errno 28] No space left on device") == 1
    assert not complete_versions(there.models / "birds")


def test_one_process_of_a_site_follows_and_another_takes_over(here: Place, there: Place) -> None:
    followers = [Follower(there.settings) for _ in range(2)]
    assert [one._is_mine() for one in followers] == [True, False]
    followers[0].start()
    followers[0].close()
    assert [one._is_mine() for one in reversed(followers)] == [True, False]
    here.write("v1")
    followers[1].start()
    deadline = time.monotonic() + 10
    while not complete_versions(there.models / "birds") and time.monotonic() < deadline:
        time.sleep(0.05)
    followers[1].close()
    assert complete_versions(there.models / "birds").keys() == {"v1"}


def test_one_machine_alone_imports_nothing_of_it(tmp_path: Path) -> None:
    asked = (
        "import sys; from app import create_app; from app.config import Settings; from pathlib import Path; "
        f"create_app(Settings(models_dir=Path({str(tmp_path)!r})), wait=True); "
        "print([name for name in ('s3fs', 'psycopg', 'app.registry.site') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_store_without_conditional_writes_and_without_postgresql_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set DATABASE_URL to a PostgreSQL that all sites share"):
        open_site(Settings(models_dir=tmp_path, models_store=f"file://{tmp_path}/store"))
    with pytest.raises(ConfigError, match="MODELS_STORE"):
        open_site(Settings(models_dir=tmp_path, models_store="nonsense://there"))
    with pytest.raises(ConfigError, match="MODELS_STORE needs another package"):
        open_site(Settings(models_dir=tmp_path, models_store="gs://there"))


class TestOnAFolder:
    def test_while_postgresql_is_away_the_cache_stays_and_changes_are_refused(
        self, tmp_path: Path, new_sites: Callable[..., tuple[Place, Place]]
    ) -> None:
        with postgresql_server() as server:
            here, there = new_sites(server.new_database())
            here.write("v1")
            here.write("v2")
            there.site.follow()
            server.stop()
            with pytest.raises(StoreAway):
                activate(there.models / "birds", "v2", action="promote", by="ann", why="")
            assert read_state(there.models / "birds").active == "v1"
            server.start()
            activate(there.models / "birds", "v2", action="promote", by="ann", why="")
            here.site.follow()
        assert read_state(here.models / "birds").active == "v2"

    def test_a_folder_that_is_not_mounted_is_not_made_on_this_disk(
        self, tmp_path: Path, postgresql: Callable[[], str], new_sites: Callable[..., tuple[Place, Place]]
    ) -> None:
        here, there = new_sites(postgresql())
        here.write("v1")
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        with pytest.raises(StoreAway):
            there.write("v2")
        assert not (tmp_path / "store").exists()
        assert complete_versions(there.models / "birds").keys() <= {"v1"}

    @pytest.fixture
    def new_sites(self, tmp_path: Path) -> Iterator[Callable[[str], tuple[Place, Place]]]:
        """Two sites on a folder and the database of that address."""
        folders = [tmp_path / "here", tmp_path / "there"]

        def make(url: str) -> tuple[Place, Place]:
            database = Database(url)
            migrate(database)
            database.close()
            (tmp_path / "store").mkdir()
            places = []
            for folder in folders:
                folder.mkdir()
                settings = Settings(models_dir=folder, models_store=f"file://{tmp_path}/store", database_url=url)
                site = open_site(settings)
                assert site is not None
                places.append(Place(settings, site))
            return places[0], places[1]

        yield make
        for folder in folders:
            attach(folder, None)
            job_book._books.pop(folder.resolve(), None)


class TestOnS3:
    @pytest.fixture
    def shared_settings(self, bucket: str) -> dict[str, str]:
        return {"models_store": f"s3://{bucket}/wanwu"}

    def test_while_the_store_is_away_the_cache_stays_and_changes_are_refused_whole(
        self, here: Place, there: Place, s3: S3
    ) -> None:
        here.write("v1")
        here.write("v2")
        there.site.follow()
        before = read_state(there.models / "birds")
        s3.stop()
        try:
            with pytest.raises(StoreAway):
                there.site.follow()
            with pytest.raises(StoreAway, match="the store that all sites share does not answer"):
                activate(there.models / "birds", "v2", action="promote", by="ann", why="")
            with pytest.raises(StoreAway):
                there.write("v3")
            with pytest.raises(StoreAway):
                delete_version(there.models, "birds", "v2", by="ann")
            assert read_state(there.models / "birds") == before
            assert {one.version for one in read_mode(there.models, "birds").versions} == {"v1", "v2"}
        finally:
            s3.start()
        activate(there.models / "birds", "v2", action="promote", by="ann", why="")
        here.site.follow()
        assert read_state(here.models / "birds").active == "v2"

    @pytest.mark.parametrize("done", ["push", "swap"])
    def test_a_store_that_goes_away_in_the_middle_of_a_new_version_leaves_none(
        self, here: Place, there: Place, done: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here.write("v1")

        def away(*_: object) -> str:
            raise OSError

        with monkeypatch.context() as broken:
            target = here.site._store._fs if done == "push" else here.site._store.documents
            broken.setattr(target, "put_file" if done == "push" else "swap", away)
            with pytest.raises(StoreAway):
                here.write("v2")
        assert complete_versions(here.models / "birds").keys() == {"v1"}
        here.write("v2", 2.0)
        there.site.follow()
        assert complete_versions(there.models / "birds").keys() == {"v1", "v2"}

    def test_a_version_deleted_while_the_store_goes_away_comes_back(
        self, here: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here.write("v1")
        here.write("v2")

        def away(*_: object) -> str:
            raise OSError

        with monkeypatch.context() as broken:
            broken.setattr(here.site._store.documents, "swap", away)
            with pytest.raises(StoreAway):
                delete_version(here.models, "birds", "v2", by="ann")
        here.site.follow()
        assert complete_versions(here.models / "birds").keys() == {"v1", "v2"}

    def test_an_answer_lost_on_its_way_is_no_failure(self, here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        here.write("v1")
        here.write("v2")
        swap = here.site._store.documents.swap

        def unheard(mode: str, content: bytes, tag: str | None) -> str:
            swap(mode, content, tag)
            raise Moved  # as where s3fs asks again, and finds what it wrote itself

        monkeypatch.setattr(here.site._store.documents, "swap", unheard)
        activate(here.models / "birds", "v2", action="promote", by="ann", why="")
        assert read_state(here.models / "birds").active == "v2"

    def test_a_store_that_takes_no_notice_of_conditions_is_refused(
        self, here: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call = here.site._store._fs.call_s3

        def unconditional(method: str, *, IfNoneMatch: str | None = None, IfMatch: str | None = None, **rest: object):  # noqa: N803
            return call(method, **rest)

        monkeypatch.setattr(here.site._store._fs, "call_s3", unconditional)
        with pytest.raises(ModelError, match="takes no notice of conditions"):
            here.write("v1")
        assert not (here.models / "birds" / "v1").exists()


def test_names_that_lead_out_of_the_folder_are_not_followed(
    here: Place, there: Place, caplog: pytest.LogCaptureFixture
) -> None:
    here.write("v1")
    content = site_module.Shared.model_construct(versions={"../../v2": "0" * 64}).model_dump_json()
    here.site._store.documents.swap("fish", content.encode(), None)
    there.site.follow()
    assert "what the store says of the mode fish cannot be read" in caplog.text
    assert read_state(there.models / "birds").active == "v1"
