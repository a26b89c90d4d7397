"""From an album to training: what is missing, what is held out, what the examination says of it."""

import random
from pathlib import Path

import pytest

from app.photos.album import (
    add_class,
    create_album,
    folder_of,
    read_album,
    rename_class,
)
from app.photos.album_findings import findings_of
from app.photos.album_photos import (
    AlbumPhoto,
    add_photo,
    move_photos,
    photos_of,
    remove_photos,
)
from app.photos.album_training import held_out, problem_of, write_lists
from app.photos.dataset import read_dataset
from app.photos.snapshot import PHOTOS, read_snapshot, snapshot_of
from app.registry.manifest import ManifestLabel
from app.training.gathering import gather
from tests.albums.photos import ids, kept, kept_again, pets

CHANCE = random.Random(5)

# What training reads


def test_the_problem_says_what_is_missing_until_nothing_is(tmp_path: Path) -> None:
    def problem() -> str | None:
        album = read_album(tmp_path, key)
        found = problem_of(album, photos_of(tmp_path, album))
        return found.en if found else None

    key = create_album(tmp_path, "Pets", "").key
    add_class(tmp_path, key, "cat", "猫")
    assert problem() == "Make at least two classes: there must be something to tell apart."
    add_class(tmp_path, key, "dog", "狗")
    assert problem() == "The class 'cat' has no photos yet: add some, or delete the class."
    add_photo(tmp_path, key, "c1", kept(0))
    assert problem() == "The class 'cat' has one photo only: it needs 2 at least."
    for class_id, seed in (("c1", 1), ("c2", 2), ("c2", 3)):
        add_photo(tmp_path, key, class_id, kept(seed))
    assert problem() is None


def test_the_lists_are_read_as_the_classes_with_their_chinese_names(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=12, dogs=3)
    rename_class(tmp_path, key, "c2", "7 dogs, 1", "“狗”")
    assert write_lists(tmp_path, key) is False
    dataset = read_dataset(folder_of(tmp_path, key), validation_share=0)
    assert dataset.classes == ("cat", "7 dogs, 1")
    assert dataset.classes_zh == ("猫", "“狗”")
    assert len(dataset.train) + len(dataset.test) == 15
    assert all(sample.path.is_file() for sample in dataset.train + dataset.test)
    assert {sample.label for sample in dataset.test} == {0}
    assert write_lists(tmp_path, key) is True, "nothing has changed"
    move_photos(tmp_path, key, ids(tmp_path, key)["c1"][:1], "c2")
    assert write_lists(tmp_path, key) is False


@pytest.mark.parametrize("names", [("1", "0"), ("0", "1"), ("10", "2")])
def test_classes_may_be_called_by_numbers(names: tuple[str, str], tmp_path: Path) -> None:
    key = create_album(tmp_path, "Digits", "").key
    for place, name in enumerate(names):
        one = add_class(tmp_path, key, name, "")
        for seed in range(2):
            add_photo(tmp_path, key, one.id, kept(10 * place + seed))
    write_lists(tmp_path, key)
    dataset = read_dataset(folder_of(tmp_path, key), validation_share=0)
    assert dataset.classes == names
    assert [sample.label for sample in dataset.train] == [0, 0, 1, 1]


def _photos(count: int) -> list[AlbumPhoto]:
    return [AlbumPhoto(CHANCE.randbytes(8).hex(), 1, 1, Path()) for _ in range(count)]


def test_one_photo_in_five_is_held_out_and_stays_so(tmp_path: Path) -> None:
    assert held_out(_photos(9)) == set()
    many = _photos(1000)
    assert 150 < len(held_out(many)) < 250
    assert held_out(many[::-1]) == held_out(many)
    assert held_out(many) >= held_out(many[:500]), "more photos do not move one from the test to training"
    for _ in range(200):
        some = _photos(10)
        assert 1 <= len(held_out(some)) <= 3


# Findings


def test_findings_name_classes_in_their_own_language_and_photos_by_id(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=13, dogs=3)
    near = kept_again(0)
    add_photo(tmp_path, key, "c1", near)
    found = {one.kind: one for one in findings_of(tmp_path, read_album(tmp_path, key))}
    assert set(found) == {"near_duplicate", "too_few", "imbalance"}
    assert found["near_duplicate"].photos == (near.sha256[:16],)
    assert "cat 1" in found["near_duplicate"].en
    assert "猫 1 张" in found["near_duplicate"].zh
    assert "dog 3" in found["too_few"].en
    assert "狗 3 张" in found["too_few"].zh
    assert "“猫”有 14 张" in found["imbalance"].zh
    assert not any(".jpg" in one.en + one.zh for one in found.values())


def test_the_same_picture_in_two_classes_is_a_conflict(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=2)
    other, _ = add_photo(tmp_path, key, "c2", kept_again(0))
    (found,) = [one for one in findings_of(tmp_path, read_album(tmp_path, key)) if one.kind == "conflict"]
    assert set(found.photos) == {other.id, kept(0).sha256[:16]}
    assert found.zh.endswith("（猫 1 张、狗 1 张）。")


def test_an_album_with_nothing_in_it_has_no_findings(tmp_path: Path) -> None:
    assert findings_of(tmp_path, create_album(tmp_path, "Pets", "")) == ()
    assert findings_of(tmp_path, read_album(tmp_path, pets(tmp_path))) == ()


def test_a_photo_that_goes_while_it_is_looked_at_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = pets(tmp_path, cats=3, dogs=3)
    album = read_album(tmp_path, key)
    stale = photos_of(tmp_path, album)
    stale["c1"][0].path.unlink()
    monkeypatch.setattr("app.photos.album_findings.photos_of", lambda *_: stale)
    assert [one.kind for one in findings_of(tmp_path, album)] == ["too_few"]


def test_for_retraining_a_photo_that_was_moved_or_removed_counts_as_gone(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=3, dogs=3)
    write_lists(tmp_path, key)
    dataset = read_dataset(folder_of(tmp_path, key), validation_share=0)
    version = tmp_path / key / "v1"
    version.mkdir(parents=True)
    (version / PHOTOS).write_bytes(snapshot_of(dataset, ["train"]))
    there = ids(tmp_path, key)
    move_photos(tmp_path, key, there["c1"][:1], "c2")
    remove_photos(tmp_path, key, there["c2"][:1])
    labels = [ManifestLabel(label="cat", label_zh="猫"), ManifestLabel(label="dog", label_zh="狗")]
    gathered = gather(read_snapshot(version) or (), labels, [], tmp_path / ".feedback")
    assert gathered.gone == 2
    assert sorted(sample.label for sample in gathered.dataset.train) == [0, 0, 1, 1]
