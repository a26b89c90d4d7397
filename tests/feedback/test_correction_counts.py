"""How far each mode is from its next training, as `/api/corrections/counts` tells, and one entry read by its id."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app import create_app
from app.config import Settings
from app.errors import NotFound
from app.feedback.accepted import accepted_pictures, count_new, mark_used
from app.feedback.corrections import save
from app.feedback.database import Database
from app.feedback.pictures import path_of
from app.feedback.review import count_entries, decide, read_entry
from app.registry.versions import PHOTOS
from app.web.schemas_corrections import CorrectionCounts, ModeCorrections, QueueEntry
from tests.asking import refused
from tests.conftest import write_head
from tests.feedback.sending import kept, said


def accepted(database: Database, models: Path, number: int, image: Image.Image | None = None, **changes: object) -> str:
    quality = changes.pop("quality", 92)
    picture = kept(image, quality=quality) if image else None
    one = save(database, models, said(number, **changes), picture).id
    decide(database, one, "accept", revision=None, by="a reviewer")
    return one


def test_entries_are_counted_by_mode_and_status_what_looks_the_same_once(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    assert count_entries(database) == {}
    accepted(database, tmp_path, 1, cat)
    accepted(database, tmp_path, 2, cat, quality=50)
    save(database, tmp_path, said(3), None)
    save(database, tmp_path, said(4, mode="birds"), None)
    assert count_entries(database) == {
        "birds": {"pending": 1, "accepted": 0, "rejected": 0},
        "colours": {"pending": 1, "accepted": 1, "rejected": 0},
    }


def test_a_picture_whose_file_is_gone_is_not_new_but_one_that_looks_the_same_stands_in(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    accepted(database, tmp_path, 1, cat)
    second = accepted(database, tmp_path, 2, cat, quality=50)
    assert count_new(database, tmp_path, "colours") == 1
    earliest, later = kept(cat).sha256, kept(cat, quality=50).sha256
    path_of(tmp_path, earliest).unlink()
    assert count_new(database, tmp_path, "colours") == 1
    assert [one.correction_id for one in accepted_pictures(database, tmp_path, "colours")] == [second]
    path_of(tmp_path, later).unlink()
    assert count_new(database, tmp_path, "colours") == 0
    assert accepted_pictures(database, tmp_path, "colours") == []


def test_an_entry_is_read_as_it_is_now(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    one = save(database, tmp_path, said(1), kept(cat)).id
    save(database, tmp_path, said(2), kept(cat, quality=50))
    assert (read_entry(database, one).count, read_entry(database, one).correction.status) == (2, "pending")
    decide(database, one, "reject", revision=0, by="somebody else")
    entry = read_entry(database, one)
    assert (entry.count, entry.correction.status, entry.correction.revision) == (2, "rejected", 1)
    with pytest.raises(NotFound):
        read_entry(database, "nothing")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An application for this machine, with the mode `colours`."""
    models = tmp_path_factory.mktemp("models")
    app = create_app(Settings(models_dir=models, keep_images=True, admin_loopback=True), wait=True)
    recogniser = app.extensions["recogniser"]
    write_head(models, "colours", recogniser.mode("imagenet"), ["red", "green", "blue"], ["红", "绿", "蓝"])
    recogniser.manager.refresh()
    yield app
    recogniser.close()
    app.extensions["database"].close()


@pytest.fixture
def client(serving: Flask) -> FlaskClient:
    from app.feedback.retention import delete_everything

    delete_everything(serving.extensions["database"], serving.extensions["settings"].models_dir)
    return serving.test_client()


def counts(client: FlaskClient) -> dict[str, ModeCorrections]:
    answer = CorrectionCounts.model_validate(client.get("/api/corrections/counts").json)
    assert answer.worth_it == 20
    return {mode.mode: mode for mode in answer.modes}


def test_the_way_to_the_next_training_is_told_for_each_mode(
    serving: Flask, client: FlaskClient, cat: Image.Image, astronaut: Image.Image
) -> None:
    database, models = serving.extensions["database"], serving.extensions["settings"].models_dir
    assert counts(client) == {}
    first = accepted(database, models, 1, cat)
    accepted(database, models, 2, astronaut)
    accepted(database, models, 3)
    save(database, models, said(4), None)
    told = counts(client)["colours"]
    assert (told.pending, told.accepted, told.rejected, told.new) == (1, 3, 0, 2)
    mark_used(database, [first], "v2")
    assert counts(client)["colours"].new == 1


def test_what_stands_in_the_way_of_a_training_is_told(serving: Flask, client: FlaskClient) -> None:
    database, models = serving.extensions["database"], serving.extensions["settings"].models_dir
    for number, mode in enumerate(("colours", "imagenet", "no-more")):
        save(database, models, said(number, mode=mode), None)
    told = counts(client)
    assert {key: mode.obstacle for key, mode in told.items()} == {
        "colours": "no_photos", "imagenet": "base", "no-more": "gone",
    }  # fmt: skip
    assert told["imagenet"].title.zh != "imagenet"
    assert told["no-more"].title.en == "no-more"
    version = told["colours"].version
    assert version
    photos = models / "colours" / version / PHOTOS
    photos.write_text("part,label,sha256,learned,path\n")
    assert counts(client)["colours"].obstacle is None
    photos.unlink()


def test_one_entry_is_read_by_its_id(serving: Flask, client: FlaskClient) -> None:
    database, models = serving.extensions["database"], serving.extensions["settings"].models_dir
    one = save(database, models, said(1), None).id
    entry = QueueEntry.model_validate(client.get(f"/api/corrections/{one}").json)
    assert (entry.id, entry.status, entry.revision) == (one, "pending", 0)
    refused(client.get("/api/corrections/nothing"), 404, "not_found")
