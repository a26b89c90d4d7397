"""`models promote` on real versions: the table, the decision, the exit status, and what the history tells of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from app.__main__ import main
from app.config import Settings
from app.errors import ModelError
from app.photos.dataset import read_dataset
from app.registry import state
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.state import active_version, read_state
from app.registry.versions import write_version
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.training.promotion import compare_versions, switch

pytestmark = pytest.mark.slow
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}


def draw(folder: Path, count: int) -> Path:
    for place, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = Image.new("RGB", (80, 70), colour)
            picture.paste((index * 7 % 256, 90, 50 * place), (index % 60, 0, index % 60 + 12, 70))
            picture.save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def taught(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A mode `colours`: v1 says "blue" whatever it sees, v2 knows the colours, v3 knows all but red."""
    folder = tmp_path_factory.mktemp("promoted")
    settings = Settings(resnet18_weights=toy_weights, models_dir=folder / "models", torch_threads=1)
    settings.models_dir.mkdir()
    photos = draw(folder / "photos", 12)
    base = Loader(settings).base()
    dataset = read_dataset(photos, validation_share=0)
    pixels = [base.backbone.transform(Image.open(sample.path)) for sample in dataset.train]
    features = base.backbone.features(torch.stack(pixels)).double()
    targets = torch.nn.functional.one_hot(torch.tensor([sample.label for sample in dataset.train])).double()
    known = 20 * torch.linalg.lstsq(features, targets, driver="gelsd").solution.T.float()
    blue = torch.tensor([20.0 * (name == "blue") for name in dataset.classes])
    without_red = torch.tensor([-1000.0 * (name == "red") for name in dataset.classes])
    write(settings, base, dataset.classes, "v1", torch.zeros_like(known), blue)
    write(settings, base, dataset.classes, "v2", known, torch.zeros(3))
    write(settings, base, dataset.classes, "v3", known, without_red)
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


@pytest.fixture
def mode(taught: tuple[Settings, Path]) -> Iterator[Path]:
    """The mode's folder; v1 is active again afterwards."""
    folder = taught[0].models_dir / "colours"
    before = (folder / state.STATE).read_bytes()
    yield folder
    (folder / state.STATE).write_bytes(before)


@pytest.fixture
def run(taught: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(taught[0].models_dir))
    monkeypatch.setenv("TORCH_THREADS", "1")
    monkeypatch.setenv("RESNET18_WEIGHTS", str(taught[0].resnet18_weights))
    return lambda *arguments: CliRunner().invoke(main, ["models", "promote", *(str(one) for one in arguments)])


def test_the_better_version_is_promoted_and_the_history_says_why(
    taught: tuple[Settings, Path], mode: Path, run: Callable[..., Result]
) -> None:
    result = run("colours", "v2", "--data", taught[1], "--why", "Colours at last.")
    assert result.exit_code == 0, result.output
    assert "Promote: v2 is better than v1: 36 of 36 pictures right against 12" in result.stdout
    assert "v1 does not say which photos it learned from" in result.stdout
    assert "Limit holds: no class loses." in result.stdout
    event = read_state(mode).history[-1]
    assert (event.action, event.version, event.before, event.forced) == ("promote", "v2", "v1", False)
    assert event.why.startswith("Colours at last. v2 is better than v1")
    again = run("colours@v2", "--data", taught[1])
    assert again.exit_code == 1
    assert "v2 is the active version of colours already." in again.output


def test_a_worse_version_is_kept_out_and_only_force_brings_it_in(
    taught: tuple[Settings, Path], mode: Path, run: Callable[..., Result]
) -> None:
    assert run("colours", "v2", "--data", taught[1]).exit_code == 0
    result = run("colours@v3", "--data", taught[1], "--json")
    assert result.exit_code == 3, result.output
    facts = json.loads(result.stdout)
    assert (facts["promoted"], facts["verdict"]["decision"], facts["pictures"]["pictures"]) == (False, "keep", 36)
    assert facts["verdict"]["pairs"] == {"both": 24, "candidate": 0, "active": 12, "neither": 0}
    assert active_version(mode) == "v2"
    forced = run("colours@v3", "--data", taught[1], "--force")
    assert forced.exit_code == 0, forced.output
    assert "Promoted all the same, by force." in forced.stdout
    event = read_state(mode).history[-1]
    assert (event.version, event.forced) == ("v3", True)
    assert "v3 is no better than v2" in event.why


def test_without_pictures_there_is_no_evidence(mode: Path, run: Callable[..., Result]) -> None:
    result = run("colours", "v2")
    assert result.exit_code == 4, result.output
    assert "Not enough evidence: There is no picture" in result.stdout
    assert active_version(mode) == "v1"


def test_what_cannot_be_compared_is_promoted_by_force_only_where_it_can_be_served(
    taught: tuple[Settings, Path], mode: Path, run: Callable[..., Result]
) -> None:
    head = mode / "v1" / "head.safetensors"
    content = head.read_bytes()
    try:
        head.write_bytes(content[:-4] + b"\0\0\0\1")
        assert run("colours", "v2", "--data", taught[1]).exit_code == 1
        result = run("colours", "v2", "--data", taught[1], "--force")
        assert result.exit_code == 0, result.output
        assert "without a comparison. The mode colours@v1 cannot be used" in result.stdout
        assert read_state(mode).history[-1].forced
        assert run("colours", "v1", "--force").exit_code == 1, "a damaged version is never promoted"
        assert active_version(mode) == "v2"
    finally:
        head.write_bytes(content)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["colours", "v9"], "There is no version v9"),
        (["colours", "../colours/v2"], "There is no version"),
        (["nothing", "v1"], "There is no version v1 of a mode nothing"),
        (["imagenet", "v1"], "never replaced"),
        (["colours", "v1"], "active version of colours already"),
        (["colours", "v9", "--force"], "There is no version v9"),
    ],
)
def test_what_is_not_there_is_said(run: Callable[..., Result], arguments: list[str], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert sentence in result.output


def test_the_version_is_named_once(run: Callable[..., Result]) -> None:
    for arguments in (["colours"], ["colours@v2", "v2"]):
        assert run(*arguments).exit_code == 2


def test_a_version_is_not_put_in_the_place_of_another_than_it_was_compared_with(
    taught: tuple[Settings, Path], mode: Path
) -> None:
    settings, photos = taught
    comparison = compare_versions(settings, "colours", "v2", photos)
    state.activate(mode, "v3", action="promote", by="another", why="")
    with pytest.raises(ModelError, match="v3 has become the active version"):
        switch(settings, comparison, by="a test")
    assert active_version(mode) == "v3"


def test_any_two_versions_are_compared_and_nothing_is_switched(
    taught: tuple[Settings, Path], mode: Path, run: Callable[..., Result]
) -> None:
    before = (mode / state.STATE).read_bytes()
    compare = ["models", "compare", "colours"]
    data = ["--data", str(taught[1])]
    result = CliRunner().invoke(main, [*compare, "v2", "v3", *data, "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["candidate"], facts["active"], facts["pictures"]["pictures"]) == ("v2", "v3", 36)
    assert facts["verdict"]["pairs"] == {"both": 24, "candidate": 12, "active": 0, "neither": 0}
    text = CliRunner().invoke(main, [*compare, "v3", "v2", *data]).stdout
    assert "Only v3 has 0 right, only v2 12" in text
    assert "Limit" not in text
    assert (mode / state.STATE).read_bytes() == before
    assert "cannot be compared with itself" in CliRunner().invoke(main, [*compare, "v2", "v2"]).output
    assert "There is no version v9" in CliRunner().invoke(main, [*compare, "v2", "v9"]).output
