"""`python -m app feedback …`: the queue without a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.__main__ import main
from app.feedback.corrections import save
from app.feedback.database import Database
from tests.feedback.sending import count, files, kept, rows, said


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    return lambda *arguments, **options: CliRunner().invoke(main, ["feedback", *map(str, arguments)], **options)


def test_a_correction_goes_from_the_list_to_a_folder_to_train_from(
    run: Callable[..., Result], database: Database, tmp_path: Path, cat: Image.Image, astronaut: Image.Image
) -> None:
    from app.photos.lists import read_list

    one = save(database, tmp_path, said(1), kept(cat)).id
    two = save(database, tmp_path, said(2), kept(astronaut)).id
    listed = run("list")
    assert one in listed.output
    assert "red (60%) -> label: green  x1  with picture" in listed.output
    assert "2 of 2 pending." in listed.output
    assert run("accept", one).output == "accepted as green.\n"
    assert run("relabel", two, "sky blue").output == "accepted as sky blue.\n"
    target = tmp_path / "set"
    assert run("export", "colours", target).exit_code == 0
    lines = read_list(target / "list.txt")
    assert [line.label for line in lines] == ["green", "sky blue"]
    assert all(line.path.is_file() for line in lines)
    again = run("export", "colours", target)
    assert (again.exit_code, "already there" in again.output) == (1, True)


def test_what_was_decided_can_be_undone_and_pruned(
    run: Callable[..., Result], database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    one = save(database, tmp_path, said(1), kept(cat)).id
    assert run("reject", one).output == "rejected.\n"
    assert run("reject", one).exit_code == 0, "on the command line the last word counts"
    assert run("undo", one).output == "pending.\n"
    assert run("undo", one).exit_code == 1
    assert run("reject", "nobody").exit_code == 1
    run("reject", one)
    assert "0 corrections and 0 pictures" in run("prune").output
    assert "1 corrections and 1 pictures" in run("prune", "--rejected").output


def test_everything_is_deleted_only_after_a_yes(
    run: Callable[..., Result], database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    save(database, tmp_path, said(1), kept(cat))
    assert run("delete-everything", input="n\n").exit_code == 1
    assert len(rows(database)) == 1
    assert run("delete-everything", "--yes").exit_code == 0
    assert (count(database), files(tmp_path)) == (0, [])


def test_the_tables_are_made_on_request(run: Callable[..., Result]) -> None:
    assert run("migrate").output == "The tables are up to date.\n"
    assert run("migrate").output == "The tables were up to date.\n"


def test_a_database_that_is_away_is_one_sentence(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@/nothing?host={tmp_path}")
    result = run("list")
    assert result.exit_code == 1
    assert result.output.startswith("Error: The database cannot be used: ")
    assert len(result.output.splitlines()) == 1
