"""Pictures that people let one site keep are there at every site, and are forgotten at all of them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from app.config import Settings
from app.errors import NotSaved
from app.feedback.accepted import accepted_pictures, count_new
from app.feedback.corrections import save, take_back
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.feedback.pictures import find_picture, in_store
from app.feedback.retention import delete_everything, prune
from app.feedback.review import decide
from app.feedback.tables import Correction
from app.registry.sharing import attach
from app.registry.site import open_site
from app.registry.state import now
from tests.feedback.sending import files, kept, said
from tests.sites.conftest import S3, Place


@pytest.fixture
def database(shared_settings: dict[str, str]) -> Iterator[Database]:
    opened = Database(shared_settings["database_url"])
    yield opened
    opened.close()


def test_a_picture_kept_at_one_site_is_reviewed_and_learned_from_at_the_other(
    here: Place, there: Place, database: Database, cat: Image.Image
) -> None:
    picture = kept(cat)
    sent = save(database, here.models, said(1), picture)
    path = find_picture(there.models, picture.sha256)
    assert path is not None
    assert path.read_bytes() == picture.jpeg
    assert path.stat().st_mode & 0o777 == 0o600
    decide(database, sent.id, "accept", revision=0, by="ann")
    assert count_new(database, there.models, "colours") == 1
    assert [one.path for one in accepted_pictures(database, there.models, "colours")] == [path]


def test_the_daily_sweep_of_one_site_leaves_what_only_the_other_has(
    here: Place, there: Place, database: Database, cat: Image.Image
) -> None:
    save(database, there.models, said(1), kept(cat.rotate(90)))  # so that this one has a folder of pictures, too
    picture = kept(cat)
    save(database, here.models, said(2), picture)
    prune(database, there.models, 30)
    assert find_picture(there.models, picture.sha256) is not None
    with database.session() as session:
        assert session.query(Correction).filter(Correction.picture.is_(None)).count() == 0


def test_a_picture_that_nobody_has_any_more_leaves_its_row(here: Place, database: Database, cat: Image.Image) -> None:
    picture = kept(cat)
    save(database, here.models, said(1), picture)
    files(here.models)[0].unlink()
    here.site.remove(f"pictures/{picture.sha256}.jpg")
    prune(database, here.models, 30)
    with database.session() as session:
        assert session.query(Correction).one().picture is None


def test_what_is_taken_back_or_too_old_goes_from_the_store_and_with_the_next_sweep_from_the_other_site(
    here: Place, there: Place, database: Database, cat: Image.Image
) -> None:
    first, second = kept(cat), kept(cat.rotate(90))
    taken_back = save(database, here.models, said(1), first)
    old = save(database, here.models, said(2), second)
    for picture in (first, second):
        assert find_picture(there.models, picture.sha256)
    assert take_back(database, here.models, taken_back.id)
    assert in_store(here.models).keys() == {second.sha256}
    with database.session() as session:
        when = now() - timedelta(days=31)
        session.execute(update(Correction).where(Correction.id == old.id).values(created=when))
    prune(database, there.models, 30)
    assert in_store(here.models) == {}
    assert files(there.models) == []


def test_everything_is_forgotten_at_a_word_in_the_store_too(
    here: Place, there: Place, database: Database, cat: Image.Image
) -> None:
    save(database, here.models, said(1), kept(cat))
    save(database, there.models, said(2), kept(cat.rotate(90)))
    assert delete_everything(database, there.models).pictures == 2
    assert in_store(here.models) == {}


def test_another_site_s_file_that_has_no_row_yet_is_left_alone(
    here: Place, there: Place, database: Database, cat: Image.Image
) -> None:
    here.site.put(f"pictures/{kept(cat).sha256}.jpg", kept(cat).jpeg)
    prune(database, there.models, 30)
    assert in_store(here.models).keys() == {kept(cat).sha256}


def test_where_the_store_is_another_than_it_was_nothing_is_taken_for_lost(
    here: Place, there: Place, database: Database, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(database, there.models, said(1), kept(cat.rotate(90)))
    save(database, here.models, said(2), kept(cat))
    monkeypatch.setattr(there.site._store, "_root", "no-such-bucket-and-no-such-folder/wanwu")
    with pytest.raises(NotSaved):
        prune(database, there.models, 30)
    with database.session() as session:
        assert session.query(Correction).filter(Correction.picture.is_(None)).count() == 0


def test_a_site_with_a_database_of_its_own_keeps_its_pictures_to_itself(
    bucket: str, tmp_path: Path, cat: Image.Image
) -> None:
    settings = Settings(models_dir=tmp_path, models_store=f"s3://{bucket}/wanwu")
    site = open_site(settings)
    assert site is not None
    with closing(Database(settings.database)) as own:
        migrate(own)
        save(own, tmp_path, said(1), kept(cat))
        assert site.names("pictures") == {}
        assert len(files(tmp_path)) == 1
        prune(own, tmp_path, 30)
        assert len(files(tmp_path)) == 1
    attach(tmp_path, None)


@pytest.mark.parametrize("shared_settings", ["s3"], indirect=True)
class TestOnS3:
    def test_while_the_store_is_away_no_picture_is_kept_in_part_and_nothing_is_forgotten_in_part(
        self, here: Place, database: Database, s3: S3, cat: Image.Image
    ) -> None:
        save(database, here.models, said(1), kept(cat))
        s3.stop()
        try:
            with pytest.raises(NotSaved):
                save(database, here.models, said(2), kept(cat.rotate(90)))
            save(database, here.models, said(3), None)  # without a picture there is nothing to wait for
            with pytest.raises(NotSaved):
                delete_everything(database, here.models)
        finally:
            s3.start()
        assert len(files(here.models)) == 1
        with database.session() as session:
            assert session.query(Correction).count() == 2
