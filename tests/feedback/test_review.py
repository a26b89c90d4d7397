"""The queue: what looks the same is one entry, and two reviewers at once never undo each other."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from app.errors import BadParameter, Conflict, NotFound
from app.feedback.accepted import accepted_pictures, count_new, mark_used
from app.feedback.corrections import save
from app.feedback.database import Database
from app.feedback.review import decide, list_entries
from tests.feedback.sending import kept, rows, said
from tests.running import ROOT, clean_environment


def send(database: Database, models: Path, number: int, image: Image.Image | None = None, **changes: object) -> str:
    quality = changes.pop("quality", 92)
    picture = kept(image, quality=quality) if image else None
    return save(database, models, said(number, **changes), picture).id


def statuses(database: Database) -> list[str]:
    return [row.status for row in rows(database)]


def test_the_queue_is_read_page_by_page_without_a_double_or_a_gap(database: Database, tmp_path: Path) -> None:
    sent = [send(database, tmp_path, number) for number in range(7)]
    send(database, tmp_path, 99, mode="birds")
    seen: list[str] = []
    page = list_entries(database, mode="colours", limit=3)
    assert page.total == 7
    while True:
        seen += [entry.correction.id for entry in page.entries]
        if page.after is None:
            break
        decide(database, seen[0], "reject", revision=None, by="someone else meanwhile") if len(seen) == 3 else None
        page = list_entries(database, mode="colours", limit=3, after=page.after)
    assert sorted(seen) == sorted(sent)
    with pytest.raises(BadParameter):
        list_entries(database, after="nonsense")


def test_pictures_that_look_the_same_are_one_entry_decided_at_once(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    ids = [send(database, tmp_path, number, cat, quality=quality) for number, quality in enumerate((92, 50, 70))]
    (entry,) = list_entries(database).entries
    assert (entry.correction.id, entry.count) == (ids[0], 3)
    assert decide(database, ids[1], "accept", revision=0, by="a reviewer").count == 3
    assert list_entries(database).entries == []
    assert statuses(database) == ["accepted"] * 3
    assert [row.reviewer for row in rows(database)] == ["a reviewer"] * 3


def test_what_looks_the_same_under_another_name_is_an_entry_of_its_own(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    good = send(database, tmp_path, 1, cat, label="good")
    send(database, tmp_path, 2, cat, label="bad")
    assert [entry.count for entry in list_entries(database).entries] == [1, 1]
    decide(database, good, "accept", revision=0, by="a reviewer")
    assert statuses(database) == ["accepted", "pending"]


def test_every_decision_can_be_undone_and_taken_another_way(database: Database, tmp_path: Path) -> None:
    one = send(database, tmp_path, 1)
    decide(database, one, "reject", revision=0, by="a")
    decide(database, one, "undo", revision=1, by="a")
    entry = decide(database, one, "relabel", revision=2, by="a", label="  dark\tgreen ")
    assert (entry.correction.status, entry.correction.final_label) == ("accepted", "dark green")
    assert entry.correction.label == "green", "what the person said stays"
    with pytest.raises(BadParameter):
        decide(database, send(database, tmp_path, 2), "relabel", revision=0, by="a", label=" ")


def test_a_stale_revision_is_a_conflict_and_changes_nothing(database: Database, tmp_path: Path) -> None:
    one = send(database, tmp_path, 1)
    decide(database, one, "accept", revision=0, by="the first")
    for action in ("reject", "undo"):
        with pytest.raises(Conflict):
            decide(database, one, action, revision=0, by="the second")
    assert rows(database)[0].reviewer == "the first"
    decide(database, one, "undo", revision=1, by="the first")
    with pytest.raises(Conflict):
        decide(database, one, "undo", revision=2, by="there is nothing to undo")
    with pytest.raises(NotFound):
        decide(database, "nothing", "accept", revision=0, by="the first")


def test_of_reviewers_who_press_at_once_one_decides(database: Database, tmp_path: Path, cat: Image.Image) -> None:
    ids = [send(database, tmp_path, number, cat, quality=quality) for number, quality in enumerate((92, 50, 70))]

    def press(number: int) -> bool:
        try:
            decide(database, ids[number % 3], ("accept", "reject")[number % 2], revision=0, by=str(number))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(12) as reviewers:
        won = list(reviewers.map(press, range(24)))
    assert won.count(True) == 1
    assert len(set(statuses(database))) == 1
    assert {row.reviewer for row in rows(database)} == {str(won.index(True))}


REVIEW = """
import json, sys
from app.errors import Conflict
from app.feedback.database import Database
from app.feedback.review import decide
database, name, done = Database(sys.argv[1]), sys.argv[2], []
input()
for one in json.loads(sys.argv[3]):
    try:
        decide(database, one, "accept" if name == "a" else "reject", revision=0, by=name)
        done.append(one)
    except Conflict:
        pass
print(json.dumps(done))
"""


def test_two_processes_share_the_queue_and_each_entry_is_decided_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ids = [send(database, tmp_path, number) for number in range(30)]
    reviewers = [
        subprocess.Popen(
            [sys.executable, "-c", REVIEW, database_url, name, json.dumps(order)],
            cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name, order in (("a", ids), ("b", ids[::-1]))
    ]  # fmt: skip
    for reviewer in reviewers:
        assert reviewer.stdin
        reviewer.stdin.write("go\n")
        reviewer.stdin.flush()
    done = [json.loads(reviewer.communicate(timeout=60)[0]) for reviewer in reviewers]
    assert sorted(done[0] + done[1]) == sorted(ids)
    assert all(row.revision == 1 and row.reviewer == ("a" if row.id in done[0] else "b") for row in rows(database))


def test_what_was_accepted_is_the_next_data_set_each_picture_once(
    database: Database, tmp_path: Path, cat: Image.Image, astronaut: Image.Image
) -> None:
    first = send(database, tmp_path, 1, cat)
    send(database, tmp_path, 2, cat, quality=50)
    other = send(database, tmp_path, 3, astronaut, label="blue")
    for one in (first, other):
        decide(database, one, "accept", revision=0, by="a")
    decide(database, send(database, tmp_path, 4), "accept", revision=0, by="no picture, nothing to learn")
    nothing = send(database, tmp_path, 5, cat.rotate(90), kind="none", label=None)
    decide(database, nothing, "accept", revision=0, by="no label, nothing to learn")
    send(database, tmp_path, 6, cat.rotate(180))
    found = accepted_pictures(database, tmp_path, "colours")
    assert [(picture.correction_id, picture.label) for picture in found] == [(first, "green"), (other, "blue")]
    assert all(picture.path.stem == picture.sha256 and picture.path.is_file() for picture in found)
    assert accepted_pictures(database, tmp_path, "birds") == []


def test_a_picture_that_a_version_has_learned_from_is_not_new_nor_is_its_copy(
    database: Database, tmp_path: Path, cat: Image.Image, astronaut: Image.Image
) -> None:
    decide(database, send(database, tmp_path, 1, cat), "accept", revision=0, by="a")
    assert count_new(database, tmp_path, "colours") == 1
    mark_used(database, [picture.correction_id for picture in accepted_pictures(database, tmp_path, "colours")], "v2")
    decide(database, send(database, tmp_path, 2, cat, quality=50), "accept", revision=0, by="a")
    assert count_new(database, tmp_path, "colours") == 0
    decide(database, send(database, tmp_path, 3, astronaut), "accept", revision=0, by="a")
    assert count_new(database, tmp_path, "colours") == 1


def test_of_one_file_under_two_names_the_newest_review_counts(
    database: Database, tmp_path: Path, cat: Image.Image
) -> None:
    green, blue = send(database, tmp_path, 1, cat), send(database, tmp_path, 2, cat, label="blue")
    decide(database, blue, "accept", revision=0, by="a")
    decide(database, green, "accept", revision=0, by="b")
    assert [picture.label for picture in accepted_pictures(database, tmp_path, "colours")] == ["green"]
