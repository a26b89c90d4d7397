"""The examination finds what is wrong with photos, takes out what would do harm, and says so in both languages."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from app.errors import DataError
from app.photos import duplicates
from app.photos.dataset import Dataset, Sample, read_dataset
from app.photos.duplicates import look_at, near_pairs
from app.photos.examination import Examination, examine

MAX_PIXELS = 1_000_000


def picture(seed: int, size: tuple[int, int] = (240, 200)) -> Image.Image:
    """Coloured clouds with a few discs: nothing like those of another seed."""
    generator = random.Random(seed)
    clouds = Image.frombytes("RGB", (7, 6), generator.randbytes(7 * 6 * 3)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(clouds)
    for _ in range(4):
        x, y, r = (generator.randrange(side) for side in (*size, 40))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(generator.randbytes(3)))
    return clouds


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def samples(folder: Path, seeds: range, label: int) -> tuple[Sample, ...]:
    return tuple(Sample(save(folder / str(label) / f"{seed}.jpg", picture(seed)), label) for seed in seeds)


@pytest.fixture
def clean(tmp_path: Path) -> Dataset:
    """Two classes, twelve training photos and three for validation each, and nothing wrong with them."""
    return Dataset(
        classes=("ant", "bee"),
        train=samples(tmp_path / "train", range(12), 0) + samples(tmp_path / "train", range(100, 112), 1),
        validation=samples(tmp_path / "val", range(20, 23), 0) + samples(tmp_path / "val", range(120, 123), 1),
        test=(),
        classes_zh=("蚂蚁", "蜜蜂"),
    )


def changed(dataset: Dataset, **added: tuple[Sample, ...]) -> Dataset:
    """The dataset with more samples in some parts."""
    parts = {part: held + added.get(part, ()) for part, held in dataset.parts().items()}
    return Dataset(dataset.classes, parts["train"], parts["validation"], parts["test"], dataset.classes_zh)


def look(dataset: Dataset, **options: object) -> Examination:
    return examine(dataset, max_pixels=MAX_PIXELS, **options)


def kinds(examination: Examination) -> list[str]:
    return [found.kind for found in examination.findings]


def test_nothing_is_found_where_nothing_is_wrong(clean: Dataset) -> None:
    calls: list[tuple[int, int]] = []
    examination = look(clean, progress=lambda done, total: calls.append((done, total)))
    assert examination == Examination(clean, ())
    assert calls == [(done, 30) for done in range(1, 31)]


def test_what_cannot_be_read_is_left_out_of_every_part_and_named(clean: Dataset, tmp_path: Path) -> None:
    cut = save(tmp_path / "bad" / "cut.jpg", picture(50))
    cut.write_bytes(cut.read_bytes()[:900])
    empty, text = tmp_path / "bad" / "empty.jpg", tmp_path / "bad" / "text.jpg"
    empty.write_bytes(b"")
    text.write_text("no picture at all")
    huge = save(tmp_path / "bad" / "huge.png", Image.new("1", (1001, 1000)))
    gone = tmp_path / "bad" / "gone.jpg"
    folder = tmp_path / "bad"
    bad = tuple(Sample(path, 0) for path in (cut, empty, text, huge, gone, folder))
    examination = look(changed(clean, train=bad[:4], validation=bad[4:5], test=bad[5:]))
    assert examination.dataset == clean
    (found,) = examination.findings
    assert (found.kind, set(found.paths)) == ("unreadable", {sample.path for sample in bad})
    assert found.sentence_en == "Left out: 6 photos that cannot be read (bad/cut.jpg, bad/empty.jpg, bad/text.jpg, …)."
    assert "6 张" in found.sentence_zh


def test_tiny_photos_are_told_and_kept(clean: Dataset, tmp_path: Path) -> None:
    tiny = Sample(save(tmp_path / "t" / "tiny.png", picture(60, (200, 31))), 0)
    fair = Sample(save(tmp_path / "t" / "fair.png", picture(61, (32, 32))), 0)
    examination = look(changed(clean, train=(tiny, fair)))
    assert [(found.kind, found.paths) for found in examination.findings] == [("tiny", (tiny.path,))]
    assert {tiny, fair} <= set(examination.dataset.train)


def test_blurred_photos_are_told_and_kept(clean: Dataset, tmp_path: Path, cat: Image.Image) -> None:
    blurred = Sample(save(tmp_path / "b" / "blurred.jpg", cat.filter(ImageFilter.GaussianBlur(3))), 0)
    examination = look(changed(clean, train=(blurred, Sample(save(tmp_path / "b" / "cat.jpg", cat), 0))))
    found = next(one for one in examination.findings if one.kind == "blurred")
    assert found.paths == (blurred.path,)
    assert "b/blurred.jpg" in found.sentence_en
    assert "1 张照片可能模糊" in found.sentence_zh
    assert blurred in examination.dataset.train


def test_training_keeps_one_of_equal_files_and_the_exam_keeps_all(clean: Dataset, tmp_path: Path) -> None:
    again = Sample(tmp_path / "again.jpg", 0)
    again.path.write_bytes(clean.train[3].path.read_bytes())
    twice = clean.validation[0]
    examination = look(changed(clean, train=(again, clean.train[5]), validation=(twice,)))
    assert examination.dataset == changed(clean, validation=(twice,))
    assert kinds(examination) == ["exact_duplicate", "exact_duplicate"]
    assert examination.findings[0].paths == (again.path, clean.train[5].path)
    assert examination.findings[1].paths == (twice.path,)


def test_a_leak_is_taken_out_of_training_unless_told_otherwise(clean: Dataset, tmp_path: Path) -> None:
    same = Sample(tmp_path / "same.jpg", 0)
    same.path.write_bytes(clean.validation[0].path.read_bytes())
    resaved = Sample(save(tmp_path / "resaved.webp", picture(121).resize((180, 150)), quality=70), 1)
    leaky = changed(clean, train=(same, resaved))
    examination = look(leaky)
    assert examination.dataset == clean
    assert [(found.kind, found.paths) for found in examination.findings] == [
        ("leak", (same.path,)),
        ("leak", (resaved.path,)),
    ]
    kept = look(leaky, keep_leaks=True)
    assert kept.dataset == leaky
    assert kinds(kept) == ["leak", "leak"]
    assert all(found.sentence_en.startswith("Kept as asked") for found in kept.findings)


def test_test_photos_leak_too_and_one_in_validation_and_test_is_told(clean: Dataset, tmp_path: Path) -> None:
    examination = look(changed(clean, test=(clean.train[0], clean.validation[1])))
    assert examination.dataset.train == clean.train[1:]
    assert examination.dataset.test == (clean.train[0], clean.validation[1])
    assert [found.paths for found in examination.findings] == [
        (clean.train[0].path,),
        (clean.validation[1].path,),
    ]
    resaved = Sample(save(tmp_path / "resaved.png", picture(21)), 0)
    (found,) = look(changed(clean, test=(resaved,))).findings
    assert (found.kind, found.paths) == ("leak", (resaved.path,))


def test_frames_of_one_scene_do_not_empty_a_class(clean: Dataset, tmp_path: Path) -> None:
    frames = tuple(
        Sample(save(tmp_path / "frames" / f"{number}.png", picture(20), compress_level=number), 0)
        for number in range(9)
    )
    few = changed(clean, train=frames)
    assert look(few).dataset.train == clean.train  # 9 of 21: leaks
    most = Dataset(clean.classes, clean.train[8:] + frames, clean.validation, ())
    examination = look(most)
    assert examination.dataset == most  # 9 of 13: one scene
    assert "most of class ant: 9 photos" in examination.findings[0].sentence_en


def test_one_photo_under_two_labels_is_not_learned(clean: Dataset, tmp_path: Path) -> None:
    torn = Sample(tmp_path / "torn.jpg", 1)
    torn.path.write_bytes(clean.train[0].path.read_bytes())
    examination = look(changed(clean, train=(torn,)))
    assert examination.dataset.train == clean.train[1:]
    assert [(found.kind, set(found.paths)) for found in examination.findings] == [
        ("conflict", {torn.path, clean.train[0].path})
    ]


def test_lookalikes_of_two_labels_are_told_and_kept(clean: Dataset, tmp_path: Path) -> None:
    torn = Sample(save(tmp_path / "torn.png", picture(0)), 1)
    seen = Sample(save(tmp_path / "seen.png", picture(20)), 1)
    examination = look(changed(clean, train=(torn, seen)))
    assert set(examination.dataset.train) == {*clean.train, torn, seen}
    assert kinds(examination) == ["conflict"]


def test_near_duplicates_in_training_are_told_and_kept(clean: Dataset, tmp_path: Path) -> None:
    near = Sample(save(tmp_path / "near.jpg", picture(4), quality=40), 0)
    examination = look(changed(clean, train=(near,)))
    assert examination.dataset.train == (*clean.train, near)
    assert [(found.kind, found.paths) for found in examination.findings] == [("near_duplicate", (near.path,))]


def test_scarce_classes_and_imbalance_beyond_three_to_one_are_told(clean: Dataset, tmp_path: Path) -> None:
    scarce = Dataset(clean.classes, clean.train[:16], clean.validation, (), clean.classes_zh)
    examination = look(scarce)  # 12 to 4: three to one
    assert kinds(examination) == ["too_few"]
    assert "bee 4" in examination.findings[0].sentence_en
    more = look(changed(scarce, train=samples(tmp_path / "more", range(30, 31), 0)))  # 13 to 4
    assert kinds(more) == ["too_few", "imbalance"]
    assert more.findings[1].sentence_en.startswith("ant has 13 photos to learn from and bee 4")
    assert "“蚂蚁”有 13 张" in more.findings[1].sentence_zh


def test_a_class_without_training_photos_is_left_out_and_the_others_keep_their_names(
    clean: Dataset, tmp_path: Path
) -> None:
    def moved(held: tuple[Sample, ...]) -> tuple[Sample, ...]:
        return tuple(Sample(sample.path, 2 * sample.label) for sample in held)

    lost = Sample(save(tmp_path / "cat.jpg", picture(70)), 1)
    wide = Dataset(
        ("ant", "cat", "bee"), moved(clean.train), (*moved(clean.validation), lost), (), ("蚂蚁", "猫", "蜜蜂")
    )
    examination = look(wide)
    assert examination.dataset == clean
    assert [found.sentence_en for found in examination.findings] == [
        "Left out: classes without a training photo (cat)."
    ]


def test_an_examination_that_leaves_one_class_says_why(clean: Dataset) -> None:
    for sample in clean.train[12:]:
        sample.path.write_bytes(b"")
    with pytest.raises(DataError, match=r"at least two classes\. Left out: 12 photos that cannot be read .*\(bee\)"):
        look(clean)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
    "larger": lambda image: image.resize((image.width * 3 // 2, image.height * 3 // 2), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.15),
    "cut": lambda image: image.crop((2, 2, image.width - 2, image.height - 2)),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_found_however_it_was_saved(copy: str, tmp_path: Path, cat: Image.Image) -> None:
    for number, image in enumerate((cat, *(picture(seed, (300, 260)) for seed in range(6)))):
        one = look_at(save(tmp_path / f"{number}.png", image), MAX_PIXELS)
        other = look_at(save(tmp_path / f"{number}.jpg", COPIES[copy](image), quality=50), MAX_PIXELS)
        assert near_pairs([one, other]) == [(0, 1)], number


def test_a_photo_turned_upright_by_its_exif_is_the_same_photo(tmp_path: Path, cat: Image.Image) -> None:
    exif = Image.Exif()
    exif[274] = 6
    turned = save(tmp_path / "t.jpg", cat.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert near_pairs([look_at(save(tmp_path / "cat.png", cat), MAX_PIXELS), look_at(turned, MAX_PIXELS)])


def test_other_pictures_are_not_called_near(tmp_path: Path, cat: Image.Image, astronaut: Image.Image) -> None:
    spotted, red, mirrored = cat.copy(), cat.copy(), cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    ImageDraw.Draw(spotted).ellipse((150, 100, 190, 140), fill="white")
    red = Image.merge("RGB", red.split()[::-1])
    images = [cat, spotted, red, mirrored, astronaut, *(picture(seed) for seed in range(40))]
    looks = [look_at(save(tmp_path / f"{number}.png", image), MAX_PIXELS) for number, image in enumerate(images)]
    assert near_pairs(looks) == []


def test_plain_and_faint_pictures_are_near_only_when_equal(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    images = [Image.new("RGB", (64, 64), shade) for shade in ("red", "green", "blue", "black", "white", "#fe0000")]
    images += [Image.fromarray(noise.integers(100, 104, (64, 64, 3), dtype=np.uint8)) for _ in range(6)]
    looks = [look_at(save(tmp_path / f"{number}.png", image), MAX_PIXELS) for number, image in enumerate(images)]
    assert near_pairs(looks) == []


def test_pairs_are_found_across_the_blocks_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_ROWS", 4)
    looks = [look_at(save(tmp_path / f"{n}.png", picture(seed)), MAX_PIXELS) for n, seed in enumerate(range(11))]
    again = look_at(save(tmp_path / "again.jpg", picture(2)), MAX_PIXELS)
    assert near_pairs([*looks, again, looks[9]]) == [(2, 11), (9, 12)]
    assert near_pairs([]) == []


def test_the_hash_distance_is_imagehash_s_own(tmp_path: Path) -> None:
    import imagehash

    one, other = picture(1), picture(2)
    bits = [look_at(save(tmp_path / f"{n}.png", image), MAX_PIXELS).bits for n, image in enumerate((one, other))]
    assert np.bitwise_count(bits[0] ^ bits[1]).sum(dtype=int) == imagehash.phash(one, 16) - imagehash.phash(other, 16)


def test_the_shared_sets_hold_one_near_duplicate_no_leak_and_three_blurred(shared: Path) -> None:
    found = {}
    for name in ("hymenoptera", "grocery20", "trashnet"):
        examination = examine(read_dataset(shared / "datasets" / name), max_pixels=50_000_000)
        found[name] = [(one.kind, sorted(path.name for path in one.paths)) for one in examination.findings]
    blurred, *flyer = found.pop("trashnet")
    assert blurred == ("blurred", ["glass167.jpg", "plastic164.jpg"])
    # One flyer, photographed twice.
    assert flyer in (
        [("near_duplicate", ["paper553.jpg"])],
        [("leak", ["paper457.jpg"])],
        [("leak", ["paper553.jpg"])],
    )
    assert found == {"hymenoptera": [], "grocery20": [("blurred", ["Lemon_006.jpg"])]}


def test_a_picture_s_bytes_are_not_needed_twice(clean: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    real = Path.open

    def counted(self: Path, *arguments: object, **options: object) -> io.IOBase:
        reads.append(self)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    look(changed(clean, train=(clean.train[0],)))
    assert sorted(reads) == sorted({sample.path for sample in clean.train + clean.validation})
