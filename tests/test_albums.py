"""Albums on the disk: what is put in stays, whole and once, whoever else works on it at the same time."""

import multiprocessing
import os
import resource
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import BadParameter, NotFound, StorageFull
from app.photos import album as albums
from app.photos import album_photos
from app.photos.album import (
    add_class,
    create_album,
    delete_album,
    delete_class,
    folder_of,
    forget_removed,
    list_albums,
    read_album,
    rename_album,
    rename_class,
)
from app.photos.album_errors import AlbumFull, InAnotherClass, KeyTaken, NameTaken, TooManyClasses, UnknownAlbum
from app.photos.album_findings import findings_of
from app.photos.album_photos import (
    AlbumPhoto,
    add_photo,
    find_photo,
    move_photos,
    photos_of,
    remove_photos,
    restore_photos,
)
from app.photos.album_training import held_out, problem_of, write_lists
from app.photos.dataset import read_dataset
from tests.album_photos import ids, kept, kept_again, pets


def files(models: Path, key: str) -> list[str]:
    """All files of an album but its own record, hidden ones too."""
    folder = folder_of(models, key)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Names


def test_an_album_is_there_again_as_it_was_made(tmp_path: Path) -> None:
    made = create_album(tmp_path, "  My\tpets ", "我的宠物")
    assert (made.key, made.title_en, made.title_zh) == ("my-pets", "My pets", "我的宠物")
    assert read_album(tmp_path, "my-pets") == made
    assert list_albums(tmp_path) == [made]


@pytest.mark.parametrize(
    ("title", "key"),
    [("Bottles & cans!", "bottles-cans"), ("瓶子", "mode-1"), ("ImageNet", "imagenet-2"), ("..", "mode-1")],
)
def test_a_key_is_made_of_what_a_title_has_of_plain_letters(title: str, key: str, tmp_path: Path) -> None:
    assert create_album(tmp_path, title, "").key == key


def test_made_keys_never_collide_and_a_chosen_one_must_be_free(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()  # a mode without an album
    (tmp_path / "fish.pth").touch()
    assert [create_album(tmp_path, title, "").key for title in ("Birds", "Birds", "Fish")] == [
        "birds-2", "birds-3", "fish-2"
    ]  # fmt: skip
    assert [create_album(tmp_path, "", title).key for title in ("瓶子", "罐子")] == ["mode-1", "mode-2"]
    for taken in ("birds", "birds-2", "fish"):
        with pytest.raises(KeyTaken, match=taken):
            create_album(tmp_path, "Birds", "", key=taken)


@pytest.mark.parametrize("key", ["../up", "a/b", ".hidden", "imagenet", "a b", "x" * 65, "a\0b", ""])
def test_a_key_never_leads_out_of_the_folder(key: str, tmp_path: Path) -> None:
    with pytest.raises(BadParameter):
        create_album(tmp_path, "Birds", "", key=key)
    with pytest.raises(UnknownAlbum):
        read_album(tmp_path, key)
    with pytest.raises(UnknownAlbum):
        delete_album(tmp_path, key)


@pytest.mark.parametrize("name", ["", " \t\n", "\u200b\u0000", "x" * 61, "猫" * 61])
def test_a_name_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    key = pets(tmp_path)
    with pytest.raises(BadParameter):
        create_album(tmp_path, name, "")
    with pytest.raises(BadParameter):
        add_class(tmp_path, key, "", name)
    with pytest.raises(BadParameter):
        rename_class(tmp_path, key, "c1", name, name)
    assert [one.label for one in read_album(tmp_path, key).classes] == ["cat", "dog"]


def test_one_language_is_enough_for_a_name(tmp_path: Path) -> None:
    key = pets(tmp_path)
    assert add_class(tmp_path, key, "", "鸟").label == "鸟"
    assert add_class(tmp_path, key, "fish", "").label_zh == "fish"
    rename_album(tmp_path, key, "", None)
    assert read_album(tmp_path, key).title_en == "我的宠物"


@pytest.mark.parametrize("name", ["CAT", "猫", "dog", " Cat "])
def test_a_class_s_name_is_its_own_in_either_language_and_case(name: str, tmp_path: Path) -> None:
    key = pets(tmp_path)
    for label, label_zh in ((name, ""), ("", name), ("bird", name)):
        with pytest.raises(NameTaken):
            add_class(tmp_path, key, label, label_zh)
    made = add_class(tmp_path, key, "bird", "鸟")
    with pytest.raises(NameTaken):
        rename_class(tmp_path, key, made.id, name, None)
    rename_class(tmp_path, key, "c1", "Cat", "猫咪")  # its own name in another case
    assert read_album(tmp_path, key).find("c1").label_zh == "猫咪"


def test_an_album_has_a_limit_of_classes_and_no_id_means_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(albums, "MAX_CLASSES", 2)
    key = pets(tmp_path)
    with pytest.raises(TooManyClasses):
        add_class(tmp_path, key, "one more", "")
    delete_class(tmp_path, key, "c2")
    forget_removed(tmp_path, key)
    assert add_class(tmp_path, key, "one more", "").id == "c3"


def test_what_is_no_album_is_passed_over(tmp_path: Path) -> None:
    assert list_albums(tmp_path) == []
    key = pets(tmp_path)
    (tmp_path / ".albums" / "broken").mkdir()
    (tmp_path / ".albums" / "broken" / "album.json").write_text("{")
    (tmp_path / ".albums" / "empty").mkdir()
    assert [album.key for album in list_albums(tmp_path)] == [key]


# Photos


def test_a_photo_lies_in_its_class_once_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    key = pets(tmp_path)
    photo, already = add_photo(tmp_path, key, "c1", kept(0))
    assert not already
    assert (photo.id, photo.width, photo.height) == (kept(0).sha256[:16], 240, 200)
    assert add_photo(tmp_path, key, "c1", kept(0)) == (photo, True)
    assert files(tmp_path, key) == ["album.json", f"c1/{photo.id}-240x200.jpg"]
    assert find_photo(tmp_path, key, photo.id).read_bytes() == kept(0).jpeg
    assert stat.S_IMODE(photo.path.stat().st_mode) == 0o600
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in photo.path.parents[:3])


def test_a_photo_of_one_class_is_not_put_into_another_by_sending_it_again(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    with pytest.raises(InAnotherClass, match="'cat'"):
        add_photo(tmp_path, key, "c2", kept(0))
    assert [len(some) for some in ids(tmp_path, key).values()] == [1, 0]


def test_photos_are_listed_in_the_order_in_which_they_came_also_after_a_move(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=5)
    came = [kept(seed).sha256[:16] for seed in range(5)]
    assert ids(tmp_path, key)["c1"] == came
    move_photos(tmp_path, key, [came[4], came[1], "0" * 16], "c2")
    assert ids(tmp_path, key) == {"c1": [came[0], came[2], came[3]], "c2": [came[1], came[4]]}


def test_nothing_moves_to_a_class_that_is_not_there(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    before = ids(tmp_path, key)
    for target in ("c3", "../..", ".removed", ""):
        with pytest.raises(NotFound):
            move_photos(tmp_path, key, before["c1"], target)
        with pytest.raises(NotFound):
            add_photo(tmp_path, key, target, kept(1))
    assert ids(tmp_path, key) == before


def test_removed_photos_come_back_until_they_are_forgotten(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=3)
    before = ids(tmp_path, key)
    remove_photos(tmp_path, key, before["c1"][:2])
    with pytest.raises(NotFound):
        find_photo(tmp_path, key, before["c1"][0])
    restore_photos(tmp_path, key, before["c1"][:1])
    assert ids(tmp_path, key)["c1"] == [before["c1"][0], before["c1"][2]]
    forget_removed(tmp_path, key)
    restore_photos(tmp_path, key, before["c1"])
    assert ids(tmp_path, key)["c1"] == [before["c1"][0], before["c1"][2]]
    assert not (folder_of(tmp_path, key) / ".removed").exists()


def test_a_removed_photo_that_was_sent_again_is_not_there_twice(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    (photo,) = ids(tmp_path, key)["c1"]
    remove_photos(tmp_path, key, [photo])
    add_photo(tmp_path, key, "c2", kept(0))
    restore_photos(tmp_path, key, [photo])
    assert ids(tmp_path, key) == {"c1": [], "c2": [photo]}


def test_a_deleted_class_comes_back_with_its_photos(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=2, dogs=1)
    before = ids(tmp_path, key)
    delete_class(tmp_path, key, "c1")
    assert ids(tmp_path, key) == {"c2": before["c2"]}
    for gone in (lambda: add_photo(tmp_path, key, "c1", kept(9)), lambda: rename_class(tmp_path, key, "c1", "x", "")):
        with pytest.raises(NotFound):
            gone()
    restore_photos(tmp_path, key, before["c1"])
    assert ids(tmp_path, key) == before


def test_a_deleted_class_does_not_come_back_beside_another_of_its_name(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    before = ids(tmp_path, key)["c1"]
    delete_class(tmp_path, key, "c1")
    add_class(tmp_path, key, "cat", "")
    with pytest.raises(NameTaken):
        restore_photos(tmp_path, key, before)
    assert "c1" not in ids(tmp_path, key)


def test_a_deleted_album_leaves_no_photo_and_the_mode_stays(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=2)
    remove_photos(tmp_path, key, ids(tmp_path, key)["c1"][:1])
    (tmp_path / key / "v1").mkdir(parents=True)
    delete_album(tmp_path, key)
    assert not list(tmp_path.rglob("*.jpg"))
    assert (tmp_path / key / "v1").is_dir()
    with pytest.raises(UnknownAlbum):
        add_photo(tmp_path, key, "c1", kept(0))
    assert not folder_of(tmp_path, key).exists()


def test_an_album_has_a_limit_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album_photos, "MAX_PHOTOS", 2)
    key = pets(tmp_path, cats=1, dogs=1)
    with pytest.raises(AlbumFull, match="2 photos"):
        add_photo(tmp_path, key, "c1", kept(7))
    assert add_photo(tmp_path, key, "c1", kept(0))[1], "it is there already"


# Trouble


def test_a_full_disk_is_told_of_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    before = files(tmp_path, key)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(StorageFull):
            add_photo(tmp_path, key, "c1", kept(1))
        with pytest.raises(StorageFull):
            add_class(tmp_path, key, "bird", "鸟")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [name for name in files(tmp_path, key) if name != "album.json"] == before[1:]
    assert len(read_album(tmp_path, key).classes) == 2
    add_photo(tmp_path, key, "c1", kept(1))


def test_what_a_killed_process_left_is_no_photo_and_goes(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    left = folder_of(tmp_path, key) / "c1" / f".{'0' * 16}-240x200.jpg-abcdef"
    left.write_bytes(b"half a photo")
    (folder_of(tmp_path, key) / "c1" / "notes.jpg").write_bytes(b"put there by hand")
    assert [len(some) for some in ids(tmp_path, key).values()] == [1, 0]
    forget_removed(tmp_path, key)
    assert not left.exists()


def _send(models: Path, key: str, first: int, class_id: str) -> None:
    """In a process of its own: send 24 photos from four threads; the other process sends half of them, too."""

    def one(seed: int) -> None:
        with suppress(InAnotherClass):
            add_photo(models, key, class_id, kept(seed))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(first, first + 24)))


def test_two_processes_with_threads_lose_nothing_and_put_nothing_in_twice(tmp_path: Path) -> None:
    key = pets(tmp_path)
    context = multiprocessing.get_context("spawn")
    orders = ((tmp_path, key, 0, "c1"), (tmp_path, key, 12, "c2"))
    processes = [context.Process(target=_send, args=order) for order in orders]
    for process in processes:
        process.start()
    made = 0
    while any(process.is_alive() for process in processes):  # somebody sorts meanwhile, and makes classes
        move_photos(tmp_path, key, ids(tmp_path, key)["c1"][:2], "c2")
        if made < 20:
            made += 1
            add_class(tmp_path, key, f"class {made}", "")
        time.sleep(0.05)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    there = [photo for some in ids(tmp_path, key).values() for photo in some]
    assert sorted(there) == sorted(kept(seed).sha256[:16] for seed in range(36))
    assert len(read_album(tmp_path, key).classes) == 2 + made
    for some in photos_of(tmp_path, read_album(tmp_path, key)).values():
        assert all(photo.path.read_bytes()[-2:] == b"\xff\xd9" for photo in some), "whole JPEGs"
    assert not [name for name in files(tmp_path, key) if "/." in name]


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
    return [AlbumPhoto(os.urandom(8).hex(), 1, 1, Path()) for _ in range(count)]


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
