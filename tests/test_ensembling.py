"""Putting an ensemble together: fitted weights, what a member adds, which photos count, and the command."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

from app.__main__ import main
from app.config import Settings
from app.errors import DataError, ModelError
from app.photos.dataset import read_dataset
from app.photos.snapshot import read_snapshot, snapshot_of
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.state import active_version
from app.registry.versions import PHOTOS, next_version, read_version, write_version
from app.serving.ensemble import EnsembleBackbone
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.served import served_mode
from app.training.ensemble_figures import (
    calibrated,
    crossed,
    equal_weights,
    fitted_weights,
    mean,
    members_figures,
    without,
)
from app.training.ensemble_members import read_members, unseen
from app.training.ensembling import EnsembleOrder, put_together
from app.training.head import class_means
from app.training.judging import features_of, judge
from app.training.options import Options
from app.training.order import Order
from app.training.outcome import Outcome
from app.training.run import train
from app.training.terminal import report_text


def answers(seed: int, skills: Sequence[float], count: int = 200, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Probabilities `[members, n, classes]` of members who see the truth more or less clearly, and the truth."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    truth = torch.nn.functional.one_hot(labels, classes).float()
    logits = [truth * skill + torch.randn(count, classes, generator=generator) for skill in skills]
    return torch.stack(logits).softmax(dim=-1), labels


def belief(weights: np.ndarray, probabilities: Tensor, labels: Tensor) -> float:
    """What fitted weights make largest: the log likelihood of the truth, and of each member's one photo."""
    likely = torch.einsum("m,mnc->nc", torch.tensor(weights, dtype=torch.float64), probabilities.double())
    return float(likely[torch.arange(len(labels)), labels].log().sum() + np.log(len(weights) * weights).sum())


@pytest.mark.parametrize("skills", [(2.0, 2.0), (0.5, 3.0), (4.0, 1.0)])
def test_fitted_weights_are_the_best_of_a_fine_grid(skills: tuple[float, float]) -> None:
    probabilities, labels = answers(0, skills)
    found = fitted_weights(probabilities, labels)
    grid = np.linspace(0.001, 0.999, 999)
    best = max(grid, key=lambda share: belief(np.array([share, 1 - share]), probabilities, labels))
    assert found[0] == pytest.approx(best, abs=2e-3)
    assert sum(found) == pytest.approx(1)


def test_fitted_weights_of_three_cannot_be_moved_for_the_better() -> None:
    probabilities, labels = answers(1, (1.0, 2.0, 3.0))
    found = np.array(fitted_weights(probabilities, labels))
    best = belief(found, probabilities, labels)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        moved = found.copy()
        step = min(0.01, moved[one] / 2)
        moved[one] -= step
        moved[other] += step
        assert belief(moved, probabilities, labels) < best


def test_what_a_member_adds_is_the_ensemble_less_the_others() -> None:
    probabilities, labels = answers(2, (1.0, 2.0, 1.5))
    weights = torch.tensor([[0.2, 0.5, 0.3]]).expand(len(labels), -1)
    rows = members_figures(probabilities, labels, weights)
    together = (torch.einsum("m,mnc->nc", weights[0], probabilities).argmax(1) == labels).float()
    for member, row in enumerate(rows):
        rest = [place for place in range(3) if place != member]
        others = torch.einsum("m,mnc->nc", weights[0, rest], probabilities[rest]).argmax(1) == labels
        assert row["alone"]["accuracy"] == pytest.approx(
            float((probabilities[member].argmax(1) == labels).float().mean())
        )
        assert row["without"]["accuracy"] == pytest.approx(float(others.float().mean()))
        assert row["adds"]["value"] == pytest.approx(float(together.mean() - others.float().mean()), abs=1e-6)
        assert 0 <= row["adds"]["p"] <= 1
    alone = members_figures(probabilities[:1], labels, torch.ones(len(labels), 1))
    assert alone[0]["adds"] is None


def test_without_the_only_one_that_counts_the_others_count_the_same() -> None:
    left = without(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]]), 0)
    torch.testing.assert_close(left, torch.tensor([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]))


def test_a_photo_is_not_judged_by_weights_that_were_fitted_on_it() -> None:
    probabilities, labels = answers(3, (1.0, 2.0), count=40)
    weights, judged = crossed(probabilities, labels, fitted_weights)
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
    torch.testing.assert_close(judged.sum(1), torch.ones(40))
    changed = labels.clone()
    changed[7] = (labels[7] + 1) % 4
    again, _ = crossed(probabilities, changed, fitted_weights)
    same = (weights[7] == weights).all(1)  # those of its fold
    assert same.sum() == 8
    torch.testing.assert_close(again[same], weights[same])
    assert not torch.allclose(again[~same], weights[~same])


def test_given_or_equal_weights_need_no_folds_but_for_the_temperature() -> None:
    probabilities, labels = answers(4, (1.0, 2.0), count=30)
    weights, judged = crossed(probabilities, labels, equal_weights)
    assert weights.eq(0.5).all()
    assert judged.argmax(1).equal(mean(probabilities, weights).argmax(1))
    torch.testing.assert_close(calibrated(probabilities[0], 1.0), probabilities[0])


@pytest.fixture(autouse=True)
def _time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each costs is not what these tests are about."""
    monkeypatch.setattr("app.export.check._ROUNDS", 1)
    monkeypatch.setattr("app.export.check._PASSES", 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos of each of two colours to learn from, four to choose by, five to judge by."""
    folder = tmp_path / "photos"
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 6), ("val", 4), ("test", 5)):
        for name, colour in (("red", (200, 30, 30)), ("blue", (30, 40, 200))):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                picture = Image.new("RGB", (90, 80), colour)
                noise = (torch.rand(12, 10, 3, generator=generator) * 255).byte().numpy()
                picture.paste(Image.fromarray(noise).resize((40, 50)), (index * 5, 10))
                picture.save(folder / part / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def base(toy_weights: Path) -> Mode:
    return Loader(Settings(resnet18_weights=toy_weights)).base()


def taught(base: Mode, photos: Path, settings: Settings, mode: str, seed: int = 0) -> str:
    """A version as training leaves it: the class means of the training photos but the first few, and its photos."""
    dataset = read_dataset(photos)
    some = dataset.train[seed:]
    features, read, _ = features_of(base.backbone, some, max_pixels=10**6)
    weight, bias = class_means(features, torch.tensor([one.label for one in read]), len(dataset.classes))
    version = next_version(settings.models_dir / mode)
    manifest = Manifest(
        mode=mode,
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en=mode, zh=mode),
        labels=[ManifestLabel(label=name) for name in dataset.classes],
        backbone=BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint),
        threshold=0.3,
    )
    files = {PHOTOS: snapshot_of(dataset, ("train",))}
    write_version(settings.models_dir, manifest, {"weight": weight, "bias": bias}, files)
    return f"{mode}@{version}"


def ordered(photos: Path, settings: Settings, mode: str, *members: str, **values: Any) -> Outcome:
    return put_together(EnsembleOrder(photos, mode, members, **values), settings)


def test_versions_of_one_mode_become_its_next_version_which_waits(base: Mode, settings: Settings, photos: Path) -> None:
    names = [taught(base, photos, settings, "colours", seed) for seed in (0, 3)]
    environment = {"MODELS_DIR": str(settings.models_dir), "RESNET18_WEIGHTS": str(settings.resnet18_weights)}
    arguments = ["ensemble", str(photos), "--mode", "colours", "--members", ",".join(names), "--weights", "3,1"]
    result = CliRunner().invoke(main, [*arguments, "--tta", "flip", "--json"], env=environment)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["version"], report["active"], report["judged_on"]) == ("v3", False, "test")
    ensemble = report["ensemble"]
    assert [one["weight"] for one in ensemble["members"]] == [0.75, 0.25]
    assert (ensemble["n"], ensemble["views"]) == (10, "flip")
    assert all(one["milliseconds"] > 0 for one in ensemble["members"])
    folder = settings.models_dir / "colours" / "v3"
    manifest, tensors = read_version(folder)
    assert [member.source for member in manifest.members] == names
    assert tensors.keys() == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert "What each member adds" in (folder / "report.html").read_text()
    text = report_text(report)
    assert "without it" in text
    assert "its flip views" in text
    learned = [photo for photo in read_snapshot(folder) or () if photo.learned]
    assert len(learned) == 12  # the training part, of either
    judged = judge(served_mode("colours@v3", settings), photos, max_pixels=10**6)
    assert judged["accuracy"] == pytest.approx(report["test"]["accuracy"])


def test_a_first_version_serves_at_once_and_photos_that_were_learned_from_do_not_judge(
    base: Mode, settings: Settings, photos: Path
) -> None:
    name = taught(base, photos, settings, "colours")
    outcome = ordered(photos, settings, "both", name, "colours", weights="fitted")
    assert active_version(outcome.folder.parent) == outcome.version
    assert outcome.manifest.members[0].weight == pytest.approx(0.5)
    members = read_members(["colours"], settings)
    for part in ("val", "test"):
        (photos / part).rename(photos.parent / part)
    with pytest.raises(DataError, match="learned from"):
        unseen(photos, members)
    found = unseen(photos.parent / "test", members)
    assert (len(found.validation), found.test) == (10, ())


def test_other_labels_another_order_ensembles_and_base_modes_are_refused(
    base: Mode, settings: Settings, photos: Path
) -> None:
    taught(base, photos, settings, "colours")
    (photos / "classes.txt").write_text("red\nblue\n")
    taught(base, photos, settings, "turned")
    with pytest.raises(ModelError, match="another order"):
        read_members(["colours", "turned"], settings)
    (photos / "classes.txt").unlink()
    ordered(photos, settings, "both", "colours", "colours")
    for part in ("train", "val", "test"):
        (photos / part / "red").rename(photos / part / "scarlet")
    taught(base, photos, settings, "others")
    with pytest.raises(ModelError, match="do not know the same classes"):
        read_members(["colours", "others"], settings)
    with pytest.raises(ModelError, match="an ensemble itself"):
        read_members(["both"], settings)
    with pytest.raises(ModelError, match="has no versions"):
        read_members(["imagenet"], settings)
    with pytest.raises(ModelError, match="no trained mode"):
        read_members(["nothing"], settings)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0), (1.0, float("nan"))])
def test_weights_that_are_none_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="2 members need"):
        EnsembleOrder(Path("photos"), "both", ("a", "b"), weights).weigh()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["head", "full"])
def test_an_ensemble_teaches_one_network_with_photos_that_have_no_labels(
    recipe: str, base: Mode, settings: Settings, photos: Path, tmp_path: Path
) -> None:
    taught(base, photos, settings, "colours")
    ordered(photos, settings, "both", "colours", views="flip")
    rest = tmp_path / "rest"
    rest.mkdir()
    for index in range(6):
        Image.new("RGB", (60, 60), (40 * index, 30, 255 - 40 * index)).save(rest / f"{index}.png")
    (rest / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    (rest / "known.png").write_bytes(sorted((photos / "test").rglob("*.png"))[0].read_bytes())
    options = Options(
        recipe=recipe, teacher="both", unlabelled=str(rest), augmentation="none", epochs=1, device="cpu",
        precision="float32",
    )  # fmt: skip
    outcome = train(Order(photos, "student", options), settings)
    nameless = [photo for photo in read_snapshot(outcome.folder) or () if not photo.label]
    assert len(nameless) == 6  # neither the broken one, nor the one that judges
    assert all(photo.learned for photo in nameless)
    student = served_mode("student", settings)
    assert student.backbone.name == "resnet18"
    if recipe == "full":  # a tuned network goes into an ensemble whole
        together = ordered(photos, settings, "all", "colours", "student")
        assert [member.backbone.tuned for member in together.manifest.members] == [False, True]
        assert cast(EnsembleBackbone, served_mode("all", settings).backbone).backbones
