"""What two versions are compared on: pictures that neither has learned from, and how many were left out."""

from pathlib import Path

import pytest
from PIL import Image

from app.errors import DataError
from app.photos.dataset import Dataset, Part, Sample
from app.photos.snapshot import PHOTOS, Photo, read_snapshot, snapshot_of
from app.training.heldout import held_out


def picture(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), (shade, 0, 0)).save(path)
    return path


class Versions:
    """Two version folders, v1 and v2, with whatever lists of photos a test gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private = folder / "kept"
        for name in ("v1", "v2"):
            (folder / name).mkdir()

    def photo(self, shade: int) -> Path:
        path = self.folder / "photos" / f"{shade}.png"
        return path if path.exists() else picture(path, shade)

    def write(self, version: str, *, learned: tuple[Part, ...] = ("train",), **parts: list[int]) -> None:
        samples = {
            part: tuple(Sample(self.photo(shade), shade % 2) for shade in shades) for part, shades in parts.items()
        }
        dataset = Dataset(
            ("even", "odd"), samples.get("train", ()), samples.get("validation", ()), samples.get("test", ())
        )
        (self.folder / version / PHOTOS).write_bytes(snapshot_of(dataset, learned))

    def held_out(self, data: Path | None = None) -> tuple[list[str], str, int, int]:
        found = held_out(self.folder / "v2", self.folder / "v1", data, private=self.private)
        return [one.path.stem for one in found.pictures], found.source, found.learned, found.gone


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


def test_a_list_of_photos_reads_back_as_it_was_written(versions: Versions) -> None:
    odd = picture(versions.folder / "photos" / 'with, "comma"\nand line 万.png', 1)
    dataset = Dataset(("a,b", "万物"), (Sample(odd, 1),), (Sample(versions.photo(2), 0),), ())
    (versions.folder / "v1" / PHOTOS).write_bytes(snapshot_of(dataset, ("train",)))
    photos = read_snapshot(versions.folder / "v1") or ()
    assert [(one.part, one.label, one.learned, one.path) for one in photos] == [
        ("train", "万物", True, odd), ("validation", "a,b", False, versions.photo(2)),
    ]  # fmt: skip
    assert all(isinstance(one, Photo) and one.is_there() for one in photos)
    odd.write_bytes(b"other")
    assert not photos[0].is_there()


def test_a_damaged_list_is_said_and_a_missing_one_is_none(versions: Versions) -> None:
    assert read_snapshot(versions.folder / "v1") is None
    versions.write("v1", train=[1, 2])
    path = versions.folder / "v1" / PHOTOS
    path.write_bytes(path.read_bytes()[:-20].replace(b"train", b"brain"))
    with pytest.raises(DataError, match=r"photos\.csv of the version v1 is damaged"):
        read_snapshot(versions.folder / "v1")


def test_the_test_parts_of_both_are_taken_each_picture_once(versions: Versions) -> None:
    versions.write("v1", train=[1, 2], test=[10, 11])
    versions.write("v2", train=[1, 2, 3], test=[11, 12])
    assert versions.held_out() == (["11", "12", "10"], "test", 0, 0)


def test_what_either_has_learned_from_is_left_out(versions: Versions) -> None:
    versions.write("v1", train=[1, 12], test=[10, 11])
    versions.write("v2", train=[1, 10], test=[11, 12])
    assert versions.held_out() == (["11"], "test", 2, 0)


def test_what_is_gone_or_changed_is_left_out(versions: Versions) -> None:
    versions.write("v1", train=[1], test=[10, 11, 12])
    versions.write("v2", train=[1])
    versions.photo(10).unlink()
    versions.photo(11).write_bytes(versions.photo(12).read_bytes())
    assert versions.held_out() == (["12"], "test", 0, 2)


def test_without_a_test_part_a_validation_part_that_was_given_serves_but_not_one_that_was_learned(
    versions: Versions,
) -> None:
    versions.write("v1", train=[1], validation=[20, 21])
    versions.write("v2", train=[1], validation=[21, 22], learned=("train", "validation"))
    assert versions.held_out() == (["20"], "validation", 2, 0)


def test_photos_that_are_given_are_taken_without_those_that_were_learned(versions: Versions) -> None:
    versions.write("v1", train=[1, 2], test=[10])
    versions.write("v2", train=[1, 3])
    for shade in (2, 3, 4, 5):
        picture(versions.folder / "data" / "odd" / f"{shade}.png", shade)
    picture(versions.folder / "data" / "even" / "again.png", 5)
    names, _, learned, _ = versions.held_out(versions.folder / "data")
    assert (sorted(names), learned) == (["4", "again"], 2)


def test_where_a_version_does_not_say_what_it_learned_only_photos_that_are_given_serve(versions: Versions) -> None:
    versions.write("v2", train=[1], test=[10])
    found = held_out(versions.folder / "v2", versions.folder / "v1", None, private=versions.private)
    assert (found.pictures, found.unsaid) == ((), ("v1",))
    picture(versions.folder / "data" / "odd" / "9.png", 9)
    picture(versions.folder / "data" / "even" / "8.png", 8)
    found = held_out(versions.folder / "v2", versions.folder / "v1", versions.folder / "data", private=versions.private)
    assert (len(found.pictures), found.unsaid) == (2, ("v1",))


def test_pictures_of_corrections_are_known_as_such(versions: Versions) -> None:
    kept = picture(versions.private / "ab.png", 30)
    dataset = Dataset(("even", "odd"), (), (), (Sample(kept, 0), Sample(versions.photo(31), 1)))
    (versions.folder / "v2" / PHOTOS).write_bytes(snapshot_of(dataset, ("train",)))
    versions.write("v1", train=[1])
    found = held_out(versions.folder / "v2", versions.folder / "v1", None, private=versions.private)
    assert [one.corrected for one in found.pictures] == [True, False]
