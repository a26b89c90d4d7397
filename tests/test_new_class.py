"""A class added to a mode that serves: the next version on disk, what is said of it, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from app.__main__ import main
from app.config import Settings
from app.errors import BadParameter, BaseModeFixed, ModelError, UnknownMode
from app.photos.snapshot import read_snapshot
from app.registry.manifest import ScoreReference
from app.registry.state import active_version, history_of
from app.registry.versions import read_score, read_version, write_version
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.new_class import ADDED, Addition, Order, add_class
from app.serving.new_photos import ClassExists, Given, TooFewPhotos
from app.training.options import Options
from app.training.run import Order as Lesson
from app.training.run import train
from app.vision.networks import build, join
from tests.adding import draw, photo

QUICK = {"epochs": 20, "augmentation": "none", "device": "cpu", "precision": "float32"}
YELLOW = [Given(f"{number}.png", photo("yellow", number)) for number in range(5)]


@pytest.fixture(scope="module")
def lesson(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A mode of three colours, taught from photos with a validation part, which it has not learned from."""
    folder = tmp_path_factory.mktemp("lesson")
    for colour in ("red", "green", "blue"):
        draw(folder / "photos" / "train" / colour, colour, range(6))
        draw(folder / "photos" / "val" / colour, colour, range(6, 10))
    settings = Settings(resnet18_weights=toy_weights, models_dir=folder / "models")
    settings.models_dir.mkdir()
    train(Lesson(folder / "photos", "colours", Options(**QUICK), "Colours", "颜色"), settings)
    return settings, folder / "photos"


@pytest.fixture
def taught(lesson: tuple[Settings, Path], tmp_path: Path) -> Settings:
    """The same mode, to do with as one likes; its photos lie where they lay."""
    settings, _ = lesson
    shutil.copytree(settings.models_dir, tmp_path / "models")
    return settings.model_copy(update={"models_dir": tmp_path / "models"})


def add(settings: Settings, **wish: object) -> Addition:
    order = Order(**{"mode": "colours", "label": "yellow", "label_zh": "黄色", "photos": YELLOW,
                     "keep_in": settings.models_dir / ".classes" / "colours", **wish})  # fmt: skip
    version = Loader(settings).version
    return add_class(order, settings, by="ann", load=version, check=version)


def loaded(settings: Settings, version: str) -> Mode:
    from app.serving.served import served_mode

    return served_mode(f"colours@{version}", settings)


def test_the_next_version_has_one_more_class_and_waits_to_be_promoted(taught: Settings) -> None:
    addition = add(taught)
    manifest, tensors = read_version(taught.models_dir / "colours" / "v2")
    before, were = read_version(taught.models_dir / "colours" / "v1")
    assert [(one.label, one.label_zh) for one in manifest.labels[3:]] == [("yellow", "黄色")]
    assert (manifest.parent, manifest.threshold, manifest.temperature) == ("v1", before.threshold, before.temperature)
    assert tensors["weight"][:3].equal(were["weight"])
    assert tensors["bias"][:3].equal(were["bias"])
    assert (addition.version, addition.photos, addition.weighed, addition.active) == ("v2", 5, 18, False)
    assert active_version(taught.models_dir / "colours") == "v1"
    assert json.loads((taught.models_dir / "colours" / "v2" / ADDED).read_text())["label"] == "yellow"


def test_old_photos_keep_their_answers_and_new_ones_are_known(taught: Settings) -> None:
    addition = add(taught)
    assert addition.old is not None
    assert (addition.old.part, addition.old.judged, addition.old.lost) == ("validation", 12, 0)
    assert addition.right == 5
    old, new = loaded(taught, "v1"), loaded(taught, "v2")
    names = [label.label for label in new.labels]
    assert names[3] == "yellow"
    for colour, number, expected in (("yellow", 50, "yellow"), ("red", 51, None), ("blue", 52, None)):
        features = new.backbone.features(_pixels(new, photo(colour, number)))
        answer = names[int(new.probabilities(features).argmax())]
        assert answer == (expected or names[int(old.probabilities(features).argmax())])


def test_the_list_of_photos_grows_and_the_next_lesson_has_them(taught: Settings) -> None:
    add(taught)
    before = read_snapshot(taught.models_dir / "colours" / "v1")
    photos = read_snapshot(taught.models_dir / "colours" / "v2")
    assert before is not None
    assert photos is not None
    assert photos[: len(before)] == before
    added = photos[len(before) :]
    assert {(one.part, one.label, one.learned, one.is_there()) for one in added} == {("train", "yellow", True, True)}
    assert len(added) == 5


def test_photos_that_lie_somewhere_stay_there(taught: Settings, tmp_path: Path) -> None:
    paths = draw(tmp_path / "yellow", "yellow", range(5))
    add(taught, photos=[Given(path.name, path.read_bytes(), path) for path in paths], keep_in=None)
    photos = read_snapshot(taught.models_dir / "colours" / "v2") or ()
    assert [one.path for one in photos[-5:]] == [path.resolve() for path in paths]
    assert not (taught.models_dir / ".classes").exists()


def test_without_the_old_photos_nothing_is_weighed_and_that_is_said(taught: Settings) -> None:
    (taught.models_dir / "colours" / "v1" / "photos.csv").unlink()
    addition = add(taught)
    assert (addition.weighed, addition.old) == (0, None)
    assert addition.right >= 4
    assert not (taught.models_dir / "colours" / "v2" / "photos.csv").exists()


def test_stored_photos_take_the_new_ones_with_as_many_rows(taught: Settings, lesson: tuple[Settings, Path]) -> None:
    train(Lesson(lesson[1], "colours", Options(**QUICK, recipe="knn", neighbours=3)), taught)
    shutil.rmtree(taught.models_dir / "colours" / "v1")
    (taught.models_dir / "colours" / "state.json").unlink()
    add(taught)
    _, tensors = read_version(taught.models_dir / "colours" / "v3")
    assert tensors["labels"].tolist().count(3) == 5
    assert tensors["neighbours"].norm(dim=1).numpy() == pytest.approx(1, abs=1e-5)


def rewritten(settings: Settings, **changes: object) -> None:
    """v1 becomes another version, v5, and active."""
    folder = settings.models_dir / "colours"
    manifest, tensors = read_version(folder / "v1")
    score = changes.pop("tensors", None)
    snapshot = (folder / "v1" / "photos.csv").read_bytes()
    shutil.rmtree(folder)
    changed = manifest.model_copy(update={"version": "v5", "files": {}, **changes})
    network = changes.get("backbone")
    if network is not None:
        base = torch.load(settings.resnet18_weights, weights_only=True)
        whole = build("resnet18", {**base, "fc.weight": tensors["weight"], "fc.bias": tensors["bias"]})
        tensors = join(whole)
    write_version(settings.models_dir, changed, tensors, {"photos.csv": snapshot}, score=score)


@pytest.mark.parametrize(
    ("name", "tensors", "grown"),
    [
        ("knn", {"known": torch.nn.functional.normalize(torch.rand(20, 512), dim=1)}, {"known": 30}),
        ("mahalanobis", {"means": torch.rand(3, 512), "root": torch.eye(512)}, {"means": 4, "root": 512}),
    ],
)
def test_the_score_knows_the_new_class(
    taught: Settings, name: str, tensors: dict[str, torch.Tensor], grown: dict[str, int]
) -> None:
    rewritten(taught, score=ScoreReference(name=name, centre=0.0), tensors=tensors)
    add(taught)
    folder = taught.models_dir / "colours" / "v6"
    score = read_score(folder, read_version(folder)[0])
    lift = score.pop("lift", torch.zeros(4))
    assert (lift[:3].tolist(), len(lift)) == ([0, 0, 0], 4)
    assert {key: len(tensor) for key, tensor in score.items()} == grown
    if name == "knn":
        assert score["known"][:20].equal(tensors["known"])
        mode = loaded(taught, "v6")
        own = mode.backbone.features(_pixels(mode, photo("yellow", 0)))
        alike = (torch.nn.functional.normalize(own, dim=1) @ score["known"].T)[0]
        assert int(alike.argmax()) == 20  # the photo itself is among them


def test_photos_far_from_one_another_are_not_all_called_strangers(taught: Settings) -> None:
    known = torch.nn.functional.normalize(torch.rand(20, 512), dim=1)
    rewritten(taught, score=ScoreReference(name="knn", centre=2.0, scale=0.1), threshold=0.5, tensors={"known": known})
    addition = add(taught)  # a cosine never reaches 2: nothing would be named
    lift = loaded(taught, "v6").score.tensors["lift"]
    assert lift[:3].tolist() == [0, 0, 0]
    assert lift[3] > 1
    assert 1 <= addition.named < addition.photos


def test_a_tuned_network_takes_a_row_and_stays_as_it_is(taught: Settings) -> None:
    manifest, _ = read_version(taught.models_dir / "colours" / "v1")
    rewritten(taught, backbone=manifest.backbone.model_copy(update={"tuned": True}))
    addition = add(taught)
    assert (addition.version, addition.weighed) == ("v6", 18)
    before, after = (read_version(taught.models_dir / "colours" / name)[1] for name in ("v5", "v6"))
    assert before.keys() == after.keys()
    assert all(after[name].equal(tensor) for name, tensor in before.items() if not name.startswith("fc."))
    assert after["fc.weight"].shape == (4, 512)
    assert len(loaded(taught, "v6").labels) == 4


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"label": "RED"}, ClassExists),
        ({"label_zh": "red"}, ClassExists),
        ({"label": ""}, BadParameter),
        ({"label": "x" * 65}, BadParameter),
        ({"label": "a\nb"}, BadParameter),
        ({"photos": YELLOW[:4]}, TooFewPhotos),
        ({"photos": YELLOW * 20}, BadParameter),
        ({"mode": "imagenet"}, BaseModeFixed),
        ({"mode": "fish"}, UnknownMode),
    ],
)
def test_an_order_that_cannot_be_carried_out_leaves_nothing_behind(
    taught: Settings, wish: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        add(taught, **wish)
    assert [path.name for path in (taught.models_dir / "colours").glob("v*")] == ["v1"]
    assert not (taught.models_dir / ".classes").exists()


def test_what_cannot_be_used_is_named_with_the_reason(taught: Settings, lesson: tuple[Settings, Path]) -> None:
    known = Given("known.png", (lesson[1] / "train" / "red" / "0.png").read_bytes())
    broken, again = Given("broken.jpg", b"\xff\xd8\xff no photo"), Given("again.png", YELLOW[0].data)
    with pytest.raises(TooFewPhotos, match=r"4 of these can be used.*broken.*again.png: It is the same picture as 0"):
        add(taught, photos=[*YELLOW[:4], broken, again])
    addition = add(taught, photos=[*YELLOW, known, broken, again])
    assert [one.name for one in addition.left_out] == ["known.png", "broken.jpg", "again.png"]
    assert (addition.photos, addition.left_out[0].en) == (5, "The mode knows this photo, as red.")


def test_a_mode_of_a_plain_file_takes_no_class(taught: Settings) -> None:
    head = {"weight": torch.zeros(2, 512), "bias": torch.zeros(2)}
    torch.save(head, taught.models_dir / "farm.pth")
    (taught.models_dir / "farm.txt").write_text("cow\npig\n")
    with pytest.raises(ModelError, match="import it"):
        add(taught, mode="farm")


@pytest.fixture
def run(taught: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(taught.models_dir))
    monkeypatch.setenv("RESNET18_WEIGHTS", str(taught.resnet18_weights))
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_says_what_came_of_it(taught: Settings, run: Callable[..., Result], tmp_path: Path) -> None:
    draw(tmp_path / "yellow", "yellow", range(5))
    result = run("models", "add-class", "colours", "yellow", tmp_path / "yellow", "--label-zh", "黄色")
    assert result.exit_code == 0, result.output
    assert "colours@v2: v1 with the class 'yellow', from 5 photos" in result.stdout
    assert "5 of 5 are right" in result.stdout
    assert "Of 12 validation photos of the other classes 0 changed their answer" in result.stdout
    assert "It waits to be promoted: python -m app models promote colours@v2" in result.stdout
    again = run("models", "add-class", "colours", "Red", tmp_path / "yellow")
    assert (again.exit_code, "has a class called 'Red' already" in again.stderr) == (1, True)


def test_promoted_at_once_it_serves_and_the_history_says_why(
    taught: Settings, run: Callable[..., Result], tmp_path: Path
) -> None:
    draw(tmp_path / "yellow", "yellow", range(5))
    result = run("models", "add-class", "colours", "yellow", tmp_path / "yellow", "--promote", "--json")
    assert json.loads(result.stdout)["active"] is True
    event = history_of(taught.models_dir / "colours").history[-1]
    assert (event.action, event.version, event.forced) == ("promote", "v2", True)
    assert event.why == "the class yellow was added from 5 photos"


def _pixels(mode: Mode, data: bytes) -> torch.Tensor:
    from app.vision.picture import decode

    shortest = mode.backbone.transform.resize
    return mode.backbone.transform(decode(data, max_pixels=10**6, shortest_side=shortest).image).unsqueeze(0)
