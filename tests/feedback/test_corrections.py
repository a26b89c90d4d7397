"""What people say is stored once, whole or not at all, on SQLite and on PostgreSQL alike."""

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import event, text

from app.errors import BadParameter, Conflict, NotSaved, PublicError, StorageFull
from app.feedback import database as database_module
from app.feedback.corrections import clean, save, take_back
from app.feedback.database import Database
from app.feedback.migrations import migrate
from app.feedback.retention import prune
from app.feedback.review import decide
from tests.feedback.sending import SAID, count, files, kept, rows, said
from tests.running import ROOT, clean_environment


def test_a_correction_is_stored_once_however_often_it_is_sent(database: Database, tmp_path: Path) -> None:
    answers = {save(database, tmp_path, SAID, None) for _ in range(3)}
    assert len(answers) == 1
    (row,) = rows(database)
    assert (row.kind, row.label, row.status, row.revision) == ("label", "green", "pending", 0)
    assert row.created.tzinfo is not None


def test_threads_that_send_the_same_at_once_store_it_once(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    picture = kept(cat)
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda _: save(database, tmp_path, SAID, picture), range(16)))
    assert len({answer.id for answer in answers}) == 1
    assert count(database) == len(files(tmp_path)) == 1


def test_each_picture_of_a_request_has_its_own_correction(database: Database, tmp_path: Path) -> None:
    for place in range(3):
        save(database, tmp_path, said(1, place=place), None)
    assert count(database) == 3


def test_a_changed_mind_counts_while_nobody_has_decided(database: Database, tmp_path: Path) -> None:
    first = save(database, tmp_path, SAID, None)
    second = save(database, tmp_path, said(1, kind="new", label="teal"), None)
    assert second.id == first.id
    (row,) = rows(database)
    assert (row.kind, row.label, row.revision) == ("new", "teal", 1)


def test_after_the_review_the_same_is_answered_and_another_refused(database: Database, tmp_path: Path) -> None:
    saved = save(database, tmp_path, SAID, None)
    decide(database, saved.id, "accept", revision=0, by="a reviewer")
    assert save(database, tmp_path, SAID, None).status == "accepted"
    with pytest.raises(Conflict):
        save(database, tmp_path, said(1, label="blue"), None)


def test_a_picture_lies_beside_the_database_for_the_server_alone(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    assert save(database, tmp_path, SAID, kept(cat)).has_picture
    (path,) = files(tmp_path)
    assert path.stem == rows(database)[0].picture
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_consent_taken_back_takes_the_picture_with_it(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    save(database, tmp_path, SAID, kept(cat))
    assert not save(database, tmp_path, SAID, None).has_picture
    assert files(tmp_path) == []
    assert count(database) == 1


def test_what_is_taken_back_is_gone_even_after_the_review(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    saved = save(database, tmp_path, SAID, kept(cat))
    decide(database, saved.id, "accept", revision=0, by="a reviewer")
    assert take_back(database, tmp_path, saved.id)
    assert count(database) == 0
    assert files(tmp_path) == []
    assert not take_back(database, tmp_path, saved.id)


def test_a_picture_stays_while_another_correction_speaks_of_it(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    one = save(database, tmp_path, said(1), kept(cat))
    save(database, tmp_path, said(2), kept(cat))
    take_back(database, tmp_path, one.id)
    assert len(files(tmp_path)) == 1


def test_a_name_is_one_visible_line_of_a_bounded_length() -> None:
    assert clean("  red\tpanda\u202e\u0000 \n ") == "red panda"
    assert clean("小\u3000熊猫") == "小 熊猫"
    for text_ in ("", " \u200b ", "x" * 101):
        with pytest.raises(BadParameter):
            clean(text_)


ALONE = """
import os, sys
from pathlib import Path
from app.errors import PublicError
from app.feedback import corrections
from app.feedback.database import Database
from tests.feedback.sending import SAID, kept
from PIL import Image

kill = sys.argv[3] == "kill"
store = corrections._store
if kill:
    corrections._store = lambda *arguments: (store(*arguments), os._exit(9))
try:
    corrections.save(Database(sys.argv[1]), Path(sys.argv[2]), SAID, kept(Image.effect_noise((900, 700), 90)))
except PublicError as error:
    print(error.code)
"""


def alone(database_url: str, models: Path, how: str, most_bytes: int = -1) -> "subprocess.CompletedProcess[str]":
    """Save a correction with a large picture in a process of its own, whose files have `most_bytes` at most."""
    return subprocess.run(
        [sys.executable, "-c", ALONE, database_url, str(models), how],
        cwd=ROOT,
        env=clean_environment() | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_killed_between_picture_and_row_leaves_nothing_that_is_not_swept(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    assert alone(database_url, tmp_path, "kill").returncode == 9
    assert count(database) == 0
    assert len(files(tmp_path)) == 1, "the picture came first"
    assert prune(database, tmp_path, None).pictures == 1
    assert files(tmp_path) == []
    assert save(database, tmp_path, SAID, None).status == "pending", "nothing is locked"


def test_a_disk_that_is_full_is_said_and_keeps_nothing(database: Database, database_url: str, tmp_path: Path) -> None:
    done = alone(database_url, tmp_path, "whole", most_bytes=150_000)
    assert done.stdout.strip() == "storage_full", done.stderr
    assert count(database) == 0
    assert files(tmp_path) == []


def test_a_database_without_room_keeps_no_picture_either(tmp_path: Path, cat: Image.Image) -> None:
    database = Database(f"sqlite:///{tmp_path / 'wanwu.db'}")
    migrate(database)
    with database.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
    event.listen(database.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages}"))
    database.engine.dispose()
    with pytest.raises(StorageFull):
        for number in range(200):
            save(database, tmp_path, said(number, answer="x" * 200), kept(cat.rotate(number)) if number > 3 else None)
    assert len(files(tmp_path)) == sum(row.picture is not None for row in rows(database))
    database.close()


def test_a_locked_database_is_said_after_a_while(
    tmp_path: Path, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_S", 0.1)
    database = Database(f"sqlite:///{tmp_path / 'wanwu.db'}")
    migrate(database)
    with database.writing(), pytest.raises(NotSaved) as refusal:
        save(database, tmp_path, SAID, kept(cat))
    assert refusal.value.retry_after_s
    assert files(tmp_path) == []
    database.close()


def test_a_database_without_tables_or_without_a_server_is_said(database_url: str, tmp_path: Path) -> None:
    empty = Database(database_url)
    nowhere = Database(f"postgresql://nobody@/nothing?host={tmp_path}")
    for database in (empty, nowhere):
        with pytest.raises(PublicError) as refusal:
            save(database, tmp_path, SAID, None)
        assert refusal.value.code == "not_saved"
        database.close()
