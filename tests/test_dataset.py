"""Labelled photos are read in every usual layout, split fairly, and a hostile archive is refused."""

import stat
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.errors import DataError
from app.photos import archive
from app.photos.dataset import Dataset, Sample, fingerprint, read_dataset, split
from app.photos.lists import read_list


def photo(path: Path, shade: int = 0) -> Path:
    """A small picture of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade % 256, shade // 256, 7)).save(path)
    return path


def photos(folder: Path, counts: dict[str, int]) -> Path:
    """Class folders with that many photos each."""
    shade = 0
    for name, count in counts.items():
        for number in range(count):
            photo(folder / name / f"{number:03}.jpg", shade := shade + 1)
    return folder


def pack(target: Path, folder: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as opened:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                opened.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def names(samples: tuple[Sample, ...], dataset: Dataset) -> list[tuple[str, str]]:
    return sorted((dataset.classes[sample.label], sample.path.name) for sample in samples)


def test_class_folders_become_classes_in_order_and_stray_files_are_left_out(tmp_path: Path) -> None:
    photos(tmp_path, {"pear": 10, "apple": 10, "苹果": 10})
    photo(tmp_path / "apple" / "deeper" / "one.PNG")
    photo(tmp_path / "apple" / "._hidden.jpg")
    photo(tmp_path / "__MACOSX" / "x" / "1.jpg")
    (tmp_path / "apple" / "notes.doc").write_text("no picture")
    (tmp_path / "README.txt").write_text("about")
    dataset = read_dataset(tmp_path)
    assert dataset.classes == ("apple", "pear", "苹果")
    counts = Counter(dataset.classes[sample.label] for sample in dataset.train + dataset.validation)
    assert counts == {"apple": 11, "pear": 10, "苹果": 10}
    assert not any(sample.path.name == "._hidden.jpg" for sample in dataset.train + dataset.validation)
    assert dataset.test == ()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_part_folders_are_kept_as_they_are(tmp_path: Path, name: str) -> None:
    photos(tmp_path / "train", {"a": 3, "b": 4})
    photos(tmp_path / name, {"a": 2, "b": 1})
    photos(tmp_path / "test", {"b": 5})
    dataset = read_dataset(tmp_path)
    assert [len(samples) for samples in dataset.parts().values()] == [7, 3, 5]
    assert {dataset.classes[sample.label] for sample in dataset.test} == {"b"}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    dataset = read_dataset(photos(tmp_path, {"train": 4, "bus": 4}))
    assert dataset.classes == ("bus", "train")


def test_a_class_that_only_another_part_has_is_still_named(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"a": 3, "b": 3})
    photos(tmp_path / "val", {"a": 1, "c": 1})
    assert read_dataset(tmp_path).classes == ("a", "b", "c")


def test_a_folder_inside_a_folder_is_found(tmp_path: Path) -> None:
    photos(tmp_path / "download" / "data", {"a": 3, "b": 3})
    assert read_dataset(tmp_path).classes == ("a", "b")


@pytest.mark.parametrize("ending", ["{path} {label}", "{path},{label}", "{path}\t{label}", '"{path}", {label}'])
def test_list_lines_may_hold_spaces_and_commas(tmp_path: Path, ending: str) -> None:
    photo(tmp_path / "my photos" / "a, 1.jpg")
    photo(tmp_path / "b.v2.jpeg")
    lines = [
        ending.format(path="my photos/a, 1.jpg", label="golden apple"),
        "",
        ending.format(path="b.v2.jpeg", label="pear"),
    ]
    (tmp_path / "train.txt").write_text("\r\n".join(lines), encoding="utf-8-sig")
    dataset = read_dataset(tmp_path, validation_share=0)
    assert names(dataset.train, dataset) == [("golden apple", "a, 1.jpg"), ("pear", "b.v2.jpeg")]


def test_lists_with_indices_take_their_names_from_the_classes_file(tmp_path: Path) -> None:
    for name in ("x", "y", "z"):
        photo(tmp_path / f"{name}.jpg")
    (tmp_path / "classes.txt").write_text("pear\t梨\napple\t苹果\n", encoding="utf-8")
    (tmp_path / "train.txt").write_text("x.jpg 0\ny.jpg 1\n")
    (tmp_path / "valid.txt").write_text("z.jpg 1\n")
    dataset = read_dataset(tmp_path)
    assert (dataset.classes, dataset.classes_zh) == (("pear", "apple"), ("梨", "苹果"))
    assert names(dataset.validation, dataset) == [("apple", "z.jpg")]


def test_list_labels_may_be_names_of_the_classes_file(tmp_path: Path) -> None:
    photo(tmp_path / "x.jpg")
    photo(tmp_path / "y.jpg")
    (tmp_path / "classes.txt").write_text("7\n8\n9\n")
    (tmp_path / "train.txt").write_text("x.jpg 8\ny.jpg 9\n")
    dataset = read_dataset(tmp_path, validation_share=0)
    assert names(dataset.train, dataset) == [("8", "x.jpg"), ("9", "y.jpg")]


def test_a_number_that_could_be_an_index_or_a_name_is_an_index(tmp_path: Path) -> None:
    photo(tmp_path / "x.jpg")
    (tmp_path / "classes.txt").write_text("1\n0\n")
    (tmp_path / "train.txt").write_text("x.jpg 0\n")
    dataset = read_dataset(tmp_path, validation_share=0)
    assert names(dataset.train, dataset) == [("1", "x.jpg")]


def test_without_a_classes_file_numbers_are_names_in_their_order(tmp_path: Path) -> None:
    photo(tmp_path / "x.jpg")
    (tmp_path / "train.txt").write_text("x.jpg 10\nx.jpg 9\n")
    assert read_dataset(tmp_path, validation_share=0).classes == ("9", "10")


def test_a_list_written_on_a_chinese_windows_is_read(tmp_path: Path) -> None:
    photo(tmp_path / "图片" / "一.jpg")
    (tmp_path / "list.txt").write_bytes("图片\\一.jpg 苹果\r\n".encode("gbk"))
    dataset = read_dataset(tmp_path / "list.txt", validation_share=0)
    assert names(dataset.train, dataset) == [("苹果", "一.jpg")]


def test_a_list_names_its_bad_line(tmp_path: Path) -> None:
    photo(tmp_path / "x.jpg")
    (tmp_path / "train.txt").write_text("x.jpg 0\nx.jpg\n")
    with pytest.raises(DataError, match=r"line 2 of train\.txt"):
        read_dataset(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    (tmp_path / "train.txt").write_text("x.jpg 1\nx.jpg 2\n")
    with pytest.raises(DataError, match=r"'2' in line 2 of train\.txt .* 0 to 1"):
        read_dataset(tmp_path)


def test_one_missing_picture_stays_for_the_examination_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    photo(tmp_path / "x.jpg")
    (tmp_path / "train.txt").write_text("x.jpg a\ngone.jpg b\n")
    assert len(read_dataset(tmp_path, validation_share=0).train) == 2
    (tmp_path / "train.txt").write_text("images/x.jpg a\n")
    with pytest.raises(DataError, match="None of the 1 pictures"):
        read_dataset(tmp_path)


def test_what_is_no_data_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no"):
        read_dataset(tmp_path / "nothing")
    with pytest.raises(DataError, match="no class folders"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="neither"):
        read_dataset(photo(tmp_path / "x.jpg"))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="no training photos"):
        read_dataset(tmp_path)


def test_the_split_is_stratified_seeded_and_leaves_each_class_one(tmp_path: Path) -> None:
    dataset = read_dataset(photos(tmp_path, {"many": 100, "some": 20, "pair": 2, "one": 1}))
    taken = Counter(dataset.classes[sample.label] for sample in dataset.validation)
    kept = Counter(dataset.classes[sample.label] for sample in dataset.train)
    assert taken == {"many": 15, "some": 3, "pair": 1}
    assert kept == {"many": 85, "some": 17, "pair": 1, "one": 1}
    assert read_dataset(tmp_path) == dataset
    assert read_dataset(tmp_path, seed=1).validation != dataset.validation
    assert read_dataset(tmp_path, validation_share=0).validation == ()


def test_the_split_does_not_depend_on_the_order_or_on_other_classes() -> None:
    samples = [Sample(Path(f"{number}.jpg"), number % 2) for number in range(40)]
    _, taken = split(samples, share=0.2, seed=3)
    _, reversed_taken = split(samples[::-1], share=0.2, seed=3)
    assert set(taken) == set(reversed_taken)
    _, alone = split([sample for sample in samples if sample.label == 0], share=0.2, seed=3)
    assert {sample for sample in taken if sample.label == 0} == set(alone)


def test_the_fingerprint_knows_contents_and_labels_but_no_names(tmp_path: Path) -> None:
    first = read_dataset(photos(tmp_path / "one", {"a": 5, "b": 5}))
    before = fingerprint(first)
    relabelled = replace(first, train=tuple(Sample(sample.path, 1 - sample.label) for sample in first.train))
    assert fingerprint(relabelled) != before
    moved = (tmp_path / "one").rename(tmp_path / "two")
    (moved / "a" / "000.jpg").rename(moved / "a" / "0.jpg")
    assert fingerprint(read_dataset(moved, seed=0)) == before
    photo(moved / "a" / "0.jpg", 999)
    changed = fingerprint(read_dataset(moved))
    assert changed != before
    (moved / "b").rename(moved / "c")
    assert fingerprint(read_dataset(moved)) != changed


def test_a_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", {"a": 8, "b": 8})
    expected = read_dataset(folder)
    workspace = tmp_path / "work"
    dataset = read_dataset(pack(tmp_path / "data.zip", folder, "wrapped/"), workspace=workspace)
    assert fingerprint(dataset) == fingerprint(expected)
    (unpacked,) = workspace.iterdir()
    before = unpacked.stat().st_mtime_ns
    assert read_dataset(tmp_path / "data.zip", workspace=workspace) == dataset
    assert unpacked.stat().st_mtime_ns == before


def test_a_zip_without_a_workspace_is_read_too(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", {"a": 2, "b": 2})
    assert all(sample.path.is_file() for sample in read_dataset(pack(tmp_path / "data.zip", folder)).train)


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_chinese_names_survive_a_zip_that_does_not_say_its_encoding(tmp_path: Path, encoding: str) -> None:
    picture = photo(tmp_path / "x.jpg").read_bytes()
    placeholder = "Q" * len("苹果".encode(encoding))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
        for name in (f"{placeholder}/1.jpg", f"{placeholder}/2.jpg", "pear/1.jpg"):
            opened.writestr(name, picture)
    content = (tmp_path / "data.zip").read_bytes().replace(placeholder.encode(), "苹果".encode(encoding))
    (tmp_path / "data.zip").write_bytes(content)
    assert read_dataset(tmp_path / "data.zip", workspace=tmp_path / "work").classes == ("pear", "苹果")


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"])
def test_a_zip_that_writes_outside_is_refused_whole(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
        opened.writestr("a/1.jpg", b"x")
        opened.writestr(name, b"x")
    with pytest.raises(DataError, match="outside its folder"):
        read_dataset(tmp_path / "data.zip", workspace=tmp_path / "deep" / "work")
    assert list((tmp_path / "deep" / "work").iterdir()) == []
    assert not list(tmp_path.rglob("evil.jpg"))


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/1.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
        opened.writestr(link, "/etc/hostname")
    with pytest.raises(DataError, match="link"):
        read_dataset(tmp_path / "data.zip", workspace=tmp_path / "work")


def test_a_zip_s_list_cannot_name_files_outside(tmp_path: Path) -> None:
    photo(tmp_path / "secret.jpg")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
        opened.writestr("train.txt", f"{tmp_path}/secret.jpg a\n")
    with pytest.raises(DataError, match="outside the archive"):
        read_dataset(tmp_path / "data.zip", workspace=tmp_path / "work")
    assert read_list(_list_of(tmp_path, "secret.jpg a"), inside=tmp_path)


def _list_of(folder: Path, text: str) -> Path:
    (folder / "list.txt").write_text(text)
    return folder / "list.txt"


def test_a_zip_beyond_the_limits_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a/1.bmp", b"\0" * 5_000_000)
        opened.writestr("b/1.bmp", b"\0" * 5_000_000)
    monkeypatch.setattr(archive, "MAX_BYTES", 9_000_000)
    with pytest.raises(DataError, match="limits"):
        read_dataset(tmp_path / "bomb.zip", workspace=tmp_path / "work")
    monkeypatch.setattr(archive, "MAX_BYTES", 11_000_000)
    monkeypatch.setattr(archive, "MAX_FILES", 1)
    with pytest.raises(DataError, match="2 files"):
        read_dataset(tmp_path / "bomb.zip", workspace=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a/1.bmp", b"\0" * 1_000_000)
    content = (tmp_path / "data.zip").read_bytes()
    assert content.count((1_000_000).to_bytes(4, "little")) == 2
    (tmp_path / "data.zip").write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_dataset(tmp_path / "data.zip", workspace=tmp_path / "work")


def test_damaged_and_encrypted_zips_are_refused(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", {"a": 2, "b": 2})
    content = bytearray(pack(tmp_path / "data.zip", folder).read_bytes())
    middle = content.index(b"\xff\xd8") + 40
    content[middle] ^= 255
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_dataset(tmp_path / "bad.zip", workspace=tmp_path / "work")
    content[middle] ^= 255
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(mark) + offset] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(DataError, match="password"):
        read_dataset(tmp_path / "locked.zip", workspace=tmp_path / "work")


def test_a_file_that_may_not_be_read_does_not_stop_the_fingerprint(tmp_path: Path) -> None:
    dataset = read_dataset(photos(tmp_path, {"a": 3, "b": 3}))
    dataset.train[0].path.unlink()
    assert len(fingerprint(dataset)) == 64


def test_the_shared_sets_are_read(shared: Path) -> None:
    hymenoptera = read_dataset(shared / "datasets" / "hymenoptera")
    assert (hymenoptera.classes, len(hymenoptera.train), len(hymenoptera.validation)) == (("ants", "bees"), 244, 153)
    grocery = read_dataset(shared / "datasets" / "grocery20")
    assert (len(grocery.classes), len(grocery.train), len(grocery.validation)) == (20, 280, 40)
    assert len(grocery.test) == 320
    assert all(sample.path.parent.name == grocery.classes[sample.label] for sample in grocery.test)
    trashnet = read_dataset(shared / "datasets" / "trashnet")
    assert Counter(trashnet.classes[sample.label] for sample in trashnet.validation)["trash"] == 3
