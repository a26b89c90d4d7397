"""`retrain` end to end: a mode that has it wrong, corrections, a better version or none; killed on the way."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from sqlalchemy import select

from app.config import Settings
from app.errors import DataError
from app.feedback.database import Database
from app.feedback.pictures import folder_of
from app.feedback.retraining import Retrained, retrain, wait_for
from app.feedback.tables import Correction
from app.photos.snapshot import Photo, read_snapshot
from app.registry.manifest import ManifestLabel
from app.registry.state import active_version, complete_versions, read_state
from app.training.gathering import gather, part_of_correction
from app.training.options import Options
from app.training.order import Order
from app.training.progress import Silent
from app.training.promotion import KEPT_PICTURES
from app.training.run import train
from tests.feedback.correcting import accept, opened
from tests.running import ROOT, clean_environment

pytestmark = pytest.mark.slow
COLOURS = {"red": (200, 30, 30), "blue": (30, 40, 200)}
YELLOW, GREY = (220, 200, 40), (120, 120, 120)
QUICK = Options(epochs=20, views=1, device="cpu", precision="float32", augmentation="none")


def picture(colour: tuple[int, int, int], seed: int) -> Image.Image:
    """A picture of one colour with a patch of noise, so that no two are the same."""
    generator = torch.Generator().manual_seed(seed)
    drawn = Image.new("RGB", (90, 80), colour)
    noise = (torch.rand(12, 10, 3, generator=generator) * 255).byte().numpy()
    drawn.paste(Image.fromarray(noise).resize((30, 30)), (seed % 50, seed * 7 % 40))
    return drawn


def draw(folder: Path, count: int, seed: int) -> None:
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture(colour, seed + index).save(folder / name / f"{index}.png")
            seed += 1000


@dataclass(frozen=True)
class Place:
    """Settings with v1 of the mode `colours`, its photos, and the database."""

    settings: Settings
    photos: Path
    database: Database

    def correct(self, colour: tuple[int, int, int], label: str, *, train: int, test: int, seed: int = 0) -> list[str]:
        """So many accepted corrections of one colour that will be learned from, and so many that will be judged on."""
        wanted, written = {"train": train, "test": test}, []
        while any(wanted.values()):
            seed += 1
            sha256 = accept(self.database, self.settings, "colours", picture(colour, seed), label)
            part = part_of_correction(sha256)
            if wanted[part] > 0:
                wanted[part] -= 1
                written.append(sha256)
            else:
                self.forget(sha256)
        return written

    def forget(self, sha256: str) -> None:
        with self.database.session() as session:
            session.delete(session.scalars(select(Correction).where(Correction.picture == sha256)).one())

    def retrain(self, data: Path | None = None, why: str = "") -> Retrained:
        return retrain("colours", self.settings, self.database, Silent(), by="a test", data=data, why=why)

    def used(self) -> list[str | None]:
        with self.database.session() as session:
            return list(session.scalars(select(Correction.used_by)))

    @property
    def mode(self) -> Path:
        return self.settings.models_dir / "colours"


@pytest.fixture
def single(settings: Settings) -> Settings:
    """One thread: two cores are soon fought over."""
    return settings.model_copy(update={"torch_threads": 1})


@pytest.fixture
def place(single: Settings, tmp_path: Path) -> Iterator[Place]:
    photos = tmp_path / "photos"
    draw(photos / "train", 6, seed=0)
    draw(photos / "test", 12, seed=100)
    train(Order(photos, "colours", QUICK, "Colours", "颜色"), single)
    with opened(single) as database:
        yield Place(single, photos, database)


def test_the_photos_a_version_was_made_from_stand_beside_it(place: Place) -> None:
    photos = read_snapshot(place.mode / "v1") or ()
    assert {(photo.part, photo.learned) for photo in photos} == {
        ("train", True), ("validation", True), ("test", False),
    }  # fmt: skip
    assert sum(photo.learned for photo in photos) == 12
    assert all(photo.is_there() and photo.path.is_absolute() for photo in photos)
    assert {photo.label for photo in photos if photo.part == "test"} == set(COLOURS)


def test_corrections_make_a_better_version_which_is_promoted(place: Place) -> None:
    written = place.correct(YELLOW, "yellow", train=12, test=9)
    done = place.retrain(why="Yellow was asked for.")
    assert done.comparison.verdict.decision == "promote", done.comparison.verdict.reason
    assert done.promoted and active_version(place.mode) == "v2"
    assert done.gathered.begun == {"yellow": 12}
    event = read_state(place.mode).history[-1]
    assert (event.action, event.version, event.before, event.by, event.forced) == (
        "promote", "v2", "v1", "a test", False,
    )  # fmt: skip
    assert event.why == f"Yellow was asked for. {done.comparison.verdict.reason}"
    assert place.used() == ["v2"] * len(written)
    learned = {photo.sha256 for photo in read_snapshot(place.mode / "v2") or () if photo.learned}
    assert {sha256 for sha256 in written if sha256 in learned} == {
        one for one in written if part_of_correction(one) == "train"
    }
    manifest = json.loads((place.mode / "v2" / "manifest.json").read_text())
    first = json.loads((place.mode / "v1" / "manifest.json").read_text())
    assert manifest["options"]["epochs"] == first["options"]["epochs"] == 20
    assert manifest["title"] == {"en": "Colours", "zh": "颜色"}
    assert [label["label"] for label in manifest["labels"]] == ["blue", "red", "yellow"]
    assert b"data:image/jpeg" not in (place.mode / "v2" / "report.html").read_bytes(), "a person's photo in the report"


def test_a_second_round_learns_nothing_twice_and_keeps_what_is_no_better(place: Place) -> None:
    place.correct(YELLOW, "yellow", train=8, test=9)
    place.retrain()
    before = read_snapshot(place.mode / "v2") or ()
    more = place.correct(YELLOW, "yellow", train=2, test=0, seed=5000)
    done = place.retrain()
    assert done.comparison.verdict.decision == "keep"
    assert not done.promoted and active_version(place.mode) == "v2"
    after = read_snapshot(place.mode / "v3") or ()
    contents = [photo.sha256 for photo in after]
    assert len(contents) == len(set(contents))
    assert set(contents) - {photo.sha256 for photo in before} == set(more)
    assert sorted(place.used()) == ["v2"] * 17 + ["v3"] * 2, (
        "each is noted once, as the version's that learned it first"
    )


def test_what_reviewers_agree_to_be_none_of_these_teaches_the_next_version_what_not_to_name(place: Place) -> None:
    for seed in range(9):
        accept(place.database, place.settings, "colours", picture(GREY, seed), None)
    assert place.retrain().outcome.choice.strangers == "left_out"  # too few to go by
    accept(place.database, place.settings, "colours", picture(GREY, 9), None)
    choice = place.retrain().outcome.choice
    assert (choice.strangers, choice.unknown) == ("given", 5)  # every other one is left to judge by


def test_what_the_version_was_told_of_by_unknown_its_successors_know_too(single: Settings, tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "train", 6, seed=0)
    draw(tmp_path / "photos" / "test", 12, seed=100)
    greys = tmp_path / "greys"
    greys.mkdir()
    for seed in range(12):
        picture(GREY, seed).save(greys / f"{seed}.png")
    train(Order(tmp_path / "photos", "colours", QUICK, "Colours", "颜色", unknown=(greys,)), single)
    with opened(single) as database:
        place = Place(single, tmp_path / "photos", database)
        choices = [place.retrain().outcome.choice for _ in range(2)]
        assert [(one.strangers, one.unknown) for one in choices] == [("given", 6)] * 2
        shutil.rmtree(greys)
        assert place.retrain().outcome.choice.strangers == "left_out"


def test_corrections_that_make_it_worse_are_not_promoted(place: Place) -> None:
    for name, colour in COLOURS.items():
        other = next(one for one in COLOURS if one != name)
        place.correct(colour, other, train=20, test=3, seed=9000)
    done = place.retrain()
    assert done.comparison.verdict.decision in ("keep", "not_enough_evidence")
    assert active_version(place.mode) == "v1"
    assert [event.action for event in read_state(place.mode).history] == ["first"]


def test_without_held_out_photos_of_its_own_corrections_alone_prove_nothing(single: Settings, tmp_path: Path) -> None:
    draw(tmp_path / "photos", 8, seed=0)
    train(Order(tmp_path / "photos", "colours", QUICK), single)
    with opened(single) as database:
        place = Place(single, tmp_path / "photos", database)
        place.correct(YELLOW, "yellow", train=8, test=9)
        done = place.retrain()
        assert (done.comparison.verdict.decision, done.comparison.verdict.more) == ("not_enough_evidence", 20)
        assert active_version(place.mode) == "v1"
        draw(tmp_path / "new", 12, seed=100)
        (tmp_path / "new" / "yellow").mkdir()
        for index in range(8):
            picture(YELLOW, 7000 + index).save(tmp_path / "new" / "yellow" / f"{index}.png")
        assert place.retrain(tmp_path / "new").comparison.verdict.decision == "promote"


def test_a_new_class_with_too_few_photos_waits(place: Place) -> None:
    place.correct(GREY, "grey", train=4, test=1)
    done = place.retrain()
    assert done.gathered.too_few == {"grey": 4}
    assert done.outcome.dataset.classes == ("blue", "red")
    assert place.used() == [None] * 5, "they are new still"


def test_photos_that_are_gone_are_left_out_and_a_class_without_any_stops_it(place: Place) -> None:
    reds = sorted((place.photos / "train" / "red").iterdir())
    reds[0].unlink()
    reds[1].write_bytes(reds[2].read_bytes())
    assert place.retrain().gathered.gone == 2
    for path in reds[2:]:
        path.unlink()
    with pytest.raises(DataError, match="gone or changed: red"):
        place.retrain()


def test_a_corrected_label_is_known_by_its_chinese_name_and_a_withdrawn_correction_is_gone(tmp_path: Path) -> None:
    private = tmp_path / "kept"
    private.mkdir()
    own = []
    for index, label in enumerate(("cat", "dog")):
        path = tmp_path / f"{label}.png"
        picture(YELLOW, index).save(path)
        own.append(Photo("train", label, hashlib.sha256(path.read_bytes()).hexdigest(), True, path))
    withdrawn = Photo("train", "cat", "ab" * 32, True, private / "a.jpg")
    accepted = Photo("train", "猫", "ce" * 32, False, private / "b.jpg")
    labels = [ManifestLabel(label="cat", label_zh="猫"), ManifestLabel(label="dog")]
    gathered = gather([*own, withdrawn], labels, [accepted], private)
    assert gathered.begun == gathered.too_few == {}
    assert [(sample.path.name, sample.label) for sample in gathered.dataset.train] == [
        ("cat.png", 0), ("dog.png", 1), ("b.jpg", 0),
    ]  # fmt: skip
    assert gathered.dataset.classes_zh == ("猫", "dog")


def test_it_waits_until_enough_corrections_are_accepted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.feedback import retraining

    said: list[str] = []
    monkeypatch.setattr(
        retraining.time, "sleep", lambda _: place.correct(YELLOW, "yellow", train=1, test=0, seed=len(said) * 100)
    )
    wait_for(2, place.database, place.settings.models_dir, "colours", lambda en, zh: said.append(en))
    assert said == [f"{count} of 2 new corrections of colours are accepted." for count in range(3)]


def test_the_comparison_knows_where_corrections_are_kept(tmp_path: Path) -> None:
    assert folder_of(tmp_path) == tmp_path / KEPT_PICTURES


def command(place: Place, *arguments: str) -> "subprocess.Popen[str]":
    environment = clean_environment() | {
        "MODELS_DIR": str(place.settings.models_dir),
        "RESNET18_WEIGHTS": str(place.settings.resnet18_weights),
        "TORCH_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "app", "retrain", "colours", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_on_the_way_nothing_is_lost_and_nothing_counted_twice(place: Place) -> None:
    """Killed while it trains, and once more when its version is written but nothing is decided or noted yet."""
    written = place.correct(YELLOW, "yellow", train=10, test=9)
    for seen in (place.settings.models_dir / ".training" / "colours" / "run.json", place.mode / "v2"):
        process = command(place)
        limit = time.monotonic() + 120
        while not seen.exists():
            assert process.poll() is None and time.monotonic() < limit, process.communicate()[1]
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert active_version(place.mode) == "v1"
        assert place.used() == [None] * len(written)
    process = command(place, "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    facts = json.loads(out)
    assert (facts["promoted"], facts["photos"]["corrected"]) == (True, len(written))
    assert active_version(place.mode) == facts["candidate"] == max(complete_versions(place.mode))
    contents = [photo.sha256 for photo in read_snapshot(place.mode / facts["candidate"]) or ()]
    assert len(contents) == len(set(contents)) == 12 + 24 + len(written)
    assert place.used() == [facts["candidate"]] * len(written)
    assert [event.action for event in read_state(place.mode).history] == ["first", "promote"]
