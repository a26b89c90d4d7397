"""People's photos are forgotten in time, at a word, and when nothing speaks of them."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select, text, update

from app.config import Settings
from app.feedback.corrections import save
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.feedback.pictures import folder_of, path_of
from app.feedback.retention import Forgotten, delete_everything, prune
from app.feedback.review import decide
from app.feedback.tables import Correction, Picture
from app.feedback.upkeep import Upkeep
from app.registry.state import now
from tests.feedback.sending import count, files, kept, rows, said


def send(database: Database, models: Path, number: int, image: Image.Image | None = None, days_ago: float = 0) -> str:
    saved = save(database, models, said(number), kept(image) if image else None)
    with database.session() as session:
        when = now() - timedelta(days=days_ago)
        session.execute(update(Correction).where(Correction.id == saved.id).values(created=when))
    return saved.id


def test_past_its_time_a_correction_goes_with_its_picture_accepted_or_not(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    old = send(database, tmp_path, 1, cat, days_ago=30.1)
    decide(database, old, "accept", revision=0, by="a")
    send(database, tmp_path, 2, cat.rotate(90), days_ago=29.9)
    assert prune(database, tmp_path, 30) == Forgotten(1, 1)
    assert [row.request_id for row in rows(database)] == ["request-2"]
    assert len(files(tmp_path)) == 1
    assert prune(database, tmp_path, 30) == Forgotten(0, 0)


def test_without_a_limit_nothing_goes_but_what_was_rejected_where_that_is_asked(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    send(database, tmp_path, 1, cat, days_ago=10_000)
    decide(database, send(database, tmp_path, 2, cat.rotate(90)), "reject", revision=0, by="a")
    assert prune(database, tmp_path, None) == Forgotten(0, 0)
    assert prune(database, tmp_path, None, rejected=True) == Forgotten(1, 1)


def test_a_picture_sent_again_lives_as_long_as_the_newer_consent(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    send(database, tmp_path, 1, cat, days_ago=40)
    send(database, tmp_path, 2, cat)
    assert prune(database, tmp_path, 30) == Forgotten(1, 0)
    assert len(files(tmp_path)) == 1


def test_everything_is_deleted_at_a_word_and_half_written_files_with_it(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    for number in range(3):
        send(database, tmp_path, number, cat.rotate(90 * number))
    (folder_of(tmp_path) / ".half-written").write_bytes(b"a piece of somebody's photo")
    assert delete_everything(database, tmp_path) == Forgotten(3, 4)
    assert count(database) == 0
    assert files(tmp_path) == []
    with database.session() as session:
        assert session.scalars(select(Picture)).all() == []
    if database.is_sqlite:
        for path in tmp_path.glob("wanwu.db*"):
            assert b"request-1" not in path.read_bytes(), path


def test_orphans_are_swept_on_both_sides(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    send(database, tmp_path, 1, cat)
    send(database, tmp_path, 2, cat.rotate(90))
    (lost,) = [row.picture for row in rows(database) if row.request_id == "request-1"]
    path_of(tmp_path, str(lost)).unlink()
    path_of(tmp_path, "0" * 64).write_bytes(b"nobody's")
    assert prune(database, tmp_path, None) == Forgotten(0, 1)
    kept = sum(row.picture is not None for row in rows(database))
    assert kept == (1 if database.is_sqlite else 2)  # a PostgreSQL may be another server's as well, who has the file
    assert len(files(tmp_path)) == 1


def test_servers_on_one_database_without_a_store_leave_each_others_pictures_alone(
    postgresql: Callable[[], str], tmp_path: Path, cat: Image.Image
) -> None:
    database = Database(postgresql())
    migrate(database)
    send(database, tmp_path / "here", 1, cat)
    send(database, tmp_path / "there", 2, cat.rotate(90))
    for place in ("here", "there", "here"):
        assert prune(database, tmp_path / place, None) == Forgotten(0, 0)
    assert all(row.picture for row in rows(database))
    assert [len(files(tmp_path / place)) for place in ("here", "there")] == [1, 1]
    database.close()


def test_a_folder_that_is_not_mounted_costs_no_row(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    send(database, tmp_path, 1, cat)
    shutil.move(folder_of(tmp_path), tmp_path / "elsewhere")
    prune(database, tmp_path, None)
    shutil.move(tmp_path / "elsewhere", folder_of(tmp_path))
    assert prune(database, tmp_path, None) == Forgotten(0, 0)
    assert rows(database)[0].picture


def test_the_server_makes_the_tables_and_prunes_as_it_starts(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    send(database, tmp_path, 1, cat, days_ago=8)
    assert Upkeep(database, Settings(models_dir=tmp_path, retention_days=7)).once()
    assert count(database) == 0


def test_a_database_that_is_away_is_one_sentence_and_is_tried_again(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(database_url)
    upkeep = Upkeep(Database(f"postgresql://nobody@/nothing?host={tmp_path}"), Settings(models_dir=tmp_path))
    with caplog.at_level("INFO", logger="app.feedback"):
        assert not upkeep.once()
        assert not upkeep.once()
        assert len(caplog.records) == 1
        assert "\n" not in caplog.text.strip()
        upkeep._database = database
        assert upkeep.once()
    assert "answers again" in caplog.text
    with database.session() as session:
        assert session.execute(text("SELECT count(*) FROM corrections")).scalar() == 0
    database.close()
