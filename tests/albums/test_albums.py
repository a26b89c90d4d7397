"""Albums on the disk: names that are their own, and photos that are put in, moved, removed and restored."""

import stat
from pathlib import Path

import pytest

from app.errors import BadParameter, NotFound
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
from app.photos.album_photos import (
    add_photo,
    find_photo,
    move_photos,
    remove_photos,
    restore_photos,
)
from tests.albums.photos import files, ids, kept, pets

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
