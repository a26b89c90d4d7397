"""`evaluate` and `compare`: labelled photos against a served mode, and recipes side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from app.__main__ import main
from app.config import Settings
from app.errors import DataError, ModelError
from app.photos.dataset import read_dataset
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.served import served_mode
from app.training import comparison
from app.training.comparison import Row, Run, base_guess, held_back, options_of, rows_named, table
from app.training.judging import answers, judge

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}
MAX_PIXELS = 10**7


def draw(folder: Path, count: int = 4) -> Path:
    """`count` photos of each colour in class folders, all different."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = Image.new("RGB", (80, 70), colour)
            picture.paste((index * 40, 90, 90), (index * 10, 0, index * 10 + 12, 70))
            picture.save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def taught(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """Settings with a mode `colours`, versions v1 and v2, and the photos that v1 knows by heart.

    v1's head is least squares on the very features; v2's answers "blue" whatever it sees.
    """
    folder = tmp_path_factory.mktemp("taught")
    settings = Settings(resnet18_weights=toy_weights, models_dir=folder / "models")
    settings.models_dir.mkdir()
    photos = draw(folder / "photos")
    base = Loader(settings).base()
    dataset = read_dataset(photos, validation_share=0)
    pixels = [base.backbone.transform(Image.open(sample.path)) for sample in dataset.train]
    features = base.backbone.features(torch.stack(pixels)).double()
    targets = torch.nn.functional.one_hot(torch.tensor([sample.label for sample in dataset.train])).double()
    weight = 20 * torch.linalg.lstsq(features, targets, driver="gelsd").solution.T.float()
    write(settings, base, dataset.classes, "v1", weight, torch.zeros(3))
    blue = torch.tensor([float(name == "blue") for name in dataset.classes])
    write(settings, base, dataset.classes, "v2", torch.zeros_like(weight), blue)
    return settings, photos


def write(
    settings: Settings, base: Mode, classes: tuple[str, ...], version: str, weight: torch.Tensor, bias: torch.Tensor
) -> None:
    manifest = Manifest(
        mode="colours",
        version=version,
        created="2026-01-01T00:00:00Z",
        title=Title(en="Colours", zh="颜色"),
        labels=[ManifestLabel(label=name) for name in classes],
        backbone=BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint),
        transform=base.backbone.transform,
        threshold=0.5,
    )
    write_version(settings.models_dir, manifest, {"weight": weight, "bias": bias})


@pytest.fixture(scope="module")
def colours(taught: tuple[Settings, Path]) -> Mode:
    """v1, the active version, loaded."""
    return served_mode("colours", taught[0])


@pytest.fixture
def run(taught: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(taught[0].models_dir))
    monkeypatch.setenv("RESNET18_WEIGHTS", str(taught[0].resnet18_weights))
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_evaluate_prints_json(taught: tuple[Settings, Path], run: Callable[..., Result]) -> None:
    result = run("evaluate", "colours", taught[1], "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["mode"], facts["version"], facts["n"], facts["accuracy"]) == ("colours", "v1", 12, 1.0)
    assert facts["part"] == "all"
    assert 0.7 < facts["accuracy_low"] < facts["accuracy_high"] == 1.0
    assert [one["label"] for one in facts["classes"]] == sorted(COLOURS)


def test_a_version_is_named_after_an_at_sign(taught: tuple[Settings, Path], run: Callable[..., Result]) -> None:
    result = run("evaluate", "colours@v2", taught[1])
    assert result.exit_code == 0, result.output
    assert "colours v2: 33.3%" in result.stdout
    assert "of 12 photos right" in result.stdout
    assert "green for blue (4)" in result.stdout


def test_the_test_part_is_judged_where_there_is_one(colours: Mode, tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        draw(tmp_path / "photos" / part, count)
    facts = judge(colours, tmp_path / "photos", max_pixels=MAX_PIXELS)
    assert (facts["part"], facts["n"]) == ("test", 3)
    assert judge(colours, tmp_path / "photos", max_pixels=MAX_PIXELS, part="validation")["n"] == 6
    assert judge(colours, tmp_path / "photos", max_pixels=MAX_PIXELS, part="all")["n"] == 18


def test_classes_are_matched_by_name_whatever_their_order(colours: Mode, tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    (tmp_path / "photos" / "classes.txt").write_text("red\nBlue\nGREEN\n")
    (tmp_path / "photos" / "train.txt").write_text(
        "".join(f"{n}/0.png {i}\n" for i, n in enumerate(["red", "blue", "green"]))
    )
    assert judge(colours, tmp_path / "photos", max_pixels=MAX_PIXELS)["accuracy"] == 1.0


def test_a_class_that_the_mode_does_not_know_is_named(colours: Mode, tmp_path: Path) -> None:
    (draw(tmp_path / "photos") / "red").rename(tmp_path / "photos" / "mauve")
    with pytest.raises(DataError, match="does not know these classes: mauve"):
        judge(colours, tmp_path / "photos", max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("name", ["flowers", "colours@v9", "colours@../v1", "colours@.", "@v1", ""])
def test_a_mode_that_is_not_there_is_refused(taught: tuple[Settings, Path], name: str) -> None:
    with pytest.raises(ModelError):
        served_mode(name, taught[0])


def test_a_photo_that_cannot_be_read_is_left_out_and_named(colours: Mode, tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    (tmp_path / "photos" / "red" / "0.png").write_bytes(b"no picture")
    facts = judge(colours, tmp_path / "photos", max_pixels=MAX_PIXELS)
    assert (facts["n"], facts["unreadable"]) == (11, ["red/0.png"])


def test_answers_are_those_of_the_served_mode(taught: tuple[Settings, Path], colours: Mode) -> None:
    mode, samples = colours, read_dataset(taught[1], validation_share=0).train
    given = answers(mode, samples, max_pixels=MAX_PIXELS).predictions
    one = mode.probabilities(mode.backbone.features(mode.backbone.transform(Image.open(samples[5].path)).unsqueeze(0)))
    assert given.probabilities[5] == pytest.approx(one[0], abs=1e-4)
    assert given.paths == tuple(sample.path for sample in samples)


def test_the_base_model_s_guess_is_its_own_names_translated(taught: tuple[Settings, Path], tmp_path: Path) -> None:
    """Seen in training, a name means what it most often was; the very same photos are then all right."""
    settings, _ = taught
    for part in ("train", "test"):
        draw(tmp_path / "photos" / part)
    mode = served_mode("imagenet", settings)
    result = base_guess(mode, tmp_path / "photos", 0, max_pixels=MAX_PIXELS)
    train = read_dataset(tmp_path / "photos", validation_share=0).train
    given = answers(mode, train, max_pixels=MAX_PIXELS).predictions
    names: dict[int, list[int]] = {}
    for guess, label in zip(given.probabilities.argmax(1).tolist(), given.labels.tolist(), strict=True):
        names.setdefault(guess, []).append(label)
    # Every photo whose name meant its class in training more often than another; val, taken from train, is not seen.
    best = sum(max(labels.count(one) for one in set(labels)) for labels in names.values())
    assert result.n == 12
    assert 4 <= result.right <= best


def test_a_stratified_part_is_held_back_with_its_names(tmp_path: Path) -> None:
    photos = draw(tmp_path / "photos", count=10)
    held = read_dataset(held_back(photos, tmp_path / "held", share=0.3, seed=1), validation_share=0)
    assert (len(held.train), len(held.test)) == (21, 9)
    assert held.classes == tuple(sorted(COLOURS))
    assert {sample.path.resolve() for sample in held.train + held.test} == set(photos.resolve().rglob("*.png"))
    assert all(held.classes[sample.label] == sample.path.parent.name for sample in held.test)
    again = read_dataset(held_back(photos, tmp_path / "again", share=0.3, seed=1), validation_share=0)
    assert {one.path.resolve() for one in again.test} == {one.path.resolve() for one in held.test}


def test_data_with_a_test_part_keeps_it(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw(tmp_path / "photos" / part)
    assert held_back(tmp_path / "photos", tmp_path / "held", share=0.3, seed=1) == tmp_path / "photos"


def test_rows_are_recipes_with_changes() -> None:
    assert options_of("full/no-stopping/no-augmentation") == {
        "recipe": "full",
        "early_stopping": False,
        "augmentation": "none",
    }
    assert rows_named("base, head/distilled") == ("base", "head/distilled")
    for wrong in ("base,ful", "head/no-stoping", "base/no-stopping"):
        with pytest.raises(DataError, match="There is no row"):
            rows_named(wrong)


def test_a_row_shows_medians_and_the_interval_of_one_split() -> None:
    runs = tuple(
        Run(right, 100, right / 100, right, seconds, 0.1) for right, seconds in ((80, 9.0), (95, 1.0), (90, 2.0))
    )
    cells = Row("head", runs).cells()
    assert (cells["accuracy"], cells["seconds"], cells["epochs"]) == (0.9, 2.0, 90)
    assert (cells["accuracy_low"], cells["accuracy_high"]) == pytest.approx((0.8256, 0.9448), abs=1e-3)
    assert "| head | 90.0% | 82.6% to 94.5% | 90.0% | 90 | 2.0 | 100 kB |" in table([Row("head", runs)])


def test_compare_gives_every_row_the_same_split_and_leaves_no_mode_behind(
    taught: tuple[Settings, Path], run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []

    def remember(order: comparison.Order, settings: Settings) -> None:
        orders.append((read_dataset(order.source), order.options, settings.models_dir))
        raise DataError("seen enough")

    monkeypatch.setattr(comparison, "train", remember)
    for row in ("head", "full/no-stopping"):
        result = run("compare", taught[1], "--recipes", row, "--seeds", "1", "--test-share", "0.25")
        assert "seen enough" in result.output
    (first, head, models), (second, full, _) = orders
    assert (first.train, first.test) != ((), ())
    assert {one.path.name for one in first.test} == {one.path.name for one in second.test}
    assert (head.recipe, full.recipe, full.early_stopping, head.seed) == ("head", "full", False, 0)
    assert models != taught[0].models_dir
    assert sorted(path.name for path in taught[0].models_dir.iterdir()) == ["colours"]
