"""`models export`: files for programs without Wanwu, which say what the served mode says, or are not written."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from app import create_app
from app.__main__ import main
from app.config import Settings
from app.errors import ExportError, ModelError
from app.export import check, export, formats
from app.export.check import FAITHFUL, LOWER, Agreement, Judge
from app.export.export import Order
from app.export.formats import Format, open_file
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving.mode import Mode
from app.serving.quantisation import drawn_pictures
from app.serving.served import served_mode
from app.vision.download import sha256_of
from app.vision.transform import IMAGENET
from tests.conftest import write_head

COLOURS = [("red", "红"), ("green", "绿"), ("blue", "蓝")]


@pytest.fixture
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the tests whose point is not the check."""
    monkeypatch.setattr(check, "PICTURES", 4)
    monkeypatch.setattr(check, "_ROUNDS", 1)


@pytest.fixture(scope="module")
def settings(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The toy ResNet-18, with a linear mode `colours`, photos by heart as `learned`, and a plain checkpoint `birds`."""
    models = tmp_path_factory.mktemp("models")
    settings = Settings(resnet18_weights=toy_weights, models_dir=models)
    base = served_mode("imagenet", settings)
    write_head(models, "colours", base, *map(list, zip(*COLOURS, strict=True)))
    write_neighbours(models, base)
    head = {"weight": torch.randn(2, 512, generator=torch.Generator().manual_seed(1)), "bias": torch.zeros(2)}
    torch.save(head, models / "birds.pth")
    (models / "birds.txt").write_text("owl\t猫头鹰\nkite\n", encoding="utf-8")
    return settings


def write_neighbours(models: Path, base: Mode) -> None:
    """Write the mode `learned`: nine drawn pictures by heart, softened by a temperature."""
    features = base.backbone.features(drawn_pictures(9, base.backbone.transform, seed=8))
    manifest = Manifest(
        mode="learned",
        version="v1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en="Learned", zh="记住的"),
        labels=[ManifestLabel(label=label) for label, _ in COLOURS],
        backbone=BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint),
        transform=base.backbone.transform,
        head="neighbours",
        neighbours=4,
        temperature=1.7,
        threshold=0.5,
    )
    tensors = {"neighbours": nn.functional.normalize(features, dim=1), "labels": torch.arange(9) % 3}
    write_version(models, manifest, tensors)


def written(order: Order, settings: Settings) -> tuple[Path, dict[str, object]]:
    """The folder of an export, and what its `model.json` says."""
    folder = export.export(order, settings).folder
    about: dict[str, object] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return folder, about


@pytest.mark.slow
@pytest.mark.usefixtures("few_pictures")
@pytest.mark.parametrize(
    ("format_", "weights", "tolerance"),
    [
        ("torchscript", None, 1e-3),
        ("onnx", None, 1e-3),
        ("dynamic", None, 0.05),
        pytest.param("int8", "resnet18_weights", 0.1, marks=pytest.mark.shared),
    ],
)
def test_the_example_runs_elsewhere_and_answers_as_the_service_does(
    format_: Format,
    weights: str | None,
    tolerance: float,
    tmp_path: Path,
    cat_jpeg: bytes,
    request: pytest.FixtureRequest,
) -> None:
    """The packaged EfficientNet-Lite0; a genuine ResNet-18 for int8, which Lite0 does not stand."""
    (tmp_path / "models").mkdir()
    settings = Settings(
        models_dir=tmp_path / "models", resnet18_weights=request.getfixturevalue(weights) if weights else None
    )
    folder = export.export(Order("imagenet", format_, tmp_path / "out"), settings).folder
    (tmp_path / "cat.jpg").write_bytes(cat_jpeg)
    done = subprocess.run(
        [sys.executable, str(folder / "example.py"), "cat.jpg"],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdict, *rows = done.stdout.splitlines()
    app = create_app(settings, wait=True)
    answer = app.test_client().post("/predict", data=cat_jpeg, content_type="image/jpeg").get_json()["results"][0]
    app.extensions["recogniser"].close()
    assert (verdict == "known") == (not answer["unknown"])
    said = {tuple(names): float(confidence) for confidence, *names in (row.split("\t") for row in rows)}
    served = {(one["label"], one["label_zh"]): one["confidence"] for one in answer["top"]}
    assert said == pytest.approx(served, abs=tolerance)
    if format_ in ("torchscript", "onnx"):
        assert list(said) == list(served)


@pytest.mark.slow
@pytest.mark.usefixtures("few_pictures")
@pytest.mark.parametrize("format_", ["torchscript", "onnx", "int8", "dynamic"])
def test_a_trained_mode_is_exported_for_any_number_of_pictures_with_all_that_its_use_needs(
    format_: Format, settings: Settings, tmp_path: Path
) -> None:
    folder, about = written(Order("colours@v1", format_, tmp_path / "deeper" / "out"), settings)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["example.py", "model.json", str(about["file"])])
    assert about["labels"] == [{"label": label, "label_zh": label_zh} for label, label_zh in COLOURS]
    assert about["transform"] == IMAGENET.model_dump(mode="json")
    assert (about["mode"], about["version"], about["threshold"], about["format"]) == ("colours", "v1", 0.5, format_)
    assert about["input"] == {"name": "picture", "dtype": "float32", "shape": ["n", 3, 224, 224]}
    assert about["output"] == {"name": "probabilities", "dtype": "float32", "shape": ["n", 3]}
    path = folder / str(about["file"])
    assert about["sha256"] == sha256_of(path)
    forward, mode = open_file(path), served_mode("colours", settings)
    for count in (1, 3):
        pictures = drawn_pictures(count, IMAGENET, seed=3)
        expected = mode.probabilities(mode.backbone.features(pictures))
        tolerance = 1e-4 if format_ in ("torchscript", "onnx") else 0.2
        torch.testing.assert_close(forward(pictures), expected, atol=tolerance, rtol=0)


@pytest.mark.slow
@pytest.mark.usefixtures("few_pictures")
def test_the_labels_and_the_transform_are_inside_the_file_too(settings: Settings, tmp_path: Path) -> None:
    import onnxruntime

    script, about = written(Order("colours", "torchscript", tmp_path / "script"), settings)
    inside = {"model.json": ""}
    torch.jit.load(str(script / "model.pt"), _extra_files=inside)
    onnx, _ = written(Order("colours", "onnx", tmp_path / "onnx"), settings)
    session = onnxruntime.InferenceSession(onnx / "model.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    for key in ("labels", "transform", "threshold"):
        assert json.loads(inside["model.json"])[key] == about[key]
        assert json.loads(metadata[key]) == about[key]


@pytest.mark.slow
@pytest.mark.usefixtures("few_pictures")
@pytest.mark.parametrize("format_", ["torchscript", "onnx"])
def test_photos_learned_by_heart_are_exported_with_their_temperature(
    format_: Format, settings: Settings, tmp_path: Path
) -> None:
    folder, about = written(Order("learned", format_, tmp_path / "out"), settings)
    pictures = drawn_pictures(3, IMAGENET, seed=3)
    mode = served_mode("learned", settings)
    answers = open_file(folder / str(about["file"]))(pictures)
    torch.testing.assert_close(answers, mode.probabilities(mode.backbone.features(pictures)), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("few_pictures")
def test_dynamic_quantisation_of_a_mode_without_linear_layers_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="linear layers only, and this mode has none"):
        export.export(Order("learned", "dynamic", tmp_path / "out"), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("few_pictures")
def test_how_little_dynamic_quantisation_does_is_printed_beside_float32_and_int8(
    toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESNET18_WEIGHTS", str(toy_weights))
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["models", "export", "imagenet", "--format", "dynamic"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    sizes = {name: float(size) for name, size, *_ in (line.split() for line in lines[1:4])}
    assert list(sizes) == ["float32", "int8", "dynamic"]
    assert sizes["int8"] < 0.35 * sizes["float32"]
    assert 0.95 * sizes["float32"] < sizes["dynamic"] < 0.98 * sizes["float32"]
    assert "linear layers only, 4.4% of these weights. dynamic is 96." in lines[4]
    (folder,) = tmp_path.glob("imagenet-custom-*-dynamic")
    assert (folder / "model.pt").stat().st_size / 1e6 == pytest.approx(sizes["dynamic"], abs=0.01)


@pytest.mark.slow
def test_a_network_that_int8_harms_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="int8 file disagrees with the served mode, and was thrown away: 50 pictures"):
        export.export(Order("imagenet", "int8", tmp_path / "out"), Settings(models_dir=tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few_pictures")
def test_a_file_that_forgets_the_temperature_is_not_written(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(network: nn.Module, *_: object) -> nn.Module:
        network.temperature = 1.0
        return network

    monkeypatch.setattr(export, "converted", forgetful)
    with pytest.raises(ExportError, match="disagrees"):
        export.export(Order("learned", "torchscript", tmp_path / "out"), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few_pictures")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.shutil, "copyfile", no_space)
    with pytest.raises(ExportError, match="out cannot be written: No space left on device"):
        export.export(Order("colours", "torchscript", tmp_path / "out"), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few_pictures")
def test_what_is_there_already_is_never_overwritten(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        export.export(Order("colours", "torchscript", tmp_path / "out"), settings)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_mode_that_is_not_there_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained mode or version called 'wolves'"):
        export.export(Order("wolves", "torchscript", tmp_path / "out"), settings)


@pytest.mark.slow
@pytest.mark.usefixtures("few_pictures")
def test_a_plain_checkpoint_is_exported_and_checked_with_the_photos_that_are_given(
    settings: Settings, tmp_path: Path, cat: Image.Image, encode: Callable[..., bytes]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "damaged.jpg").write_bytes(b"no picture")
    order = Order("birds", "torchscript", tmp_path / "out", photos)
    with pytest.raises(ExportError, match="no photo to check with"):
        export.export(order, settings)
    (photos / "cat.jpg").write_bytes(encode(cat))
    _, about = written(order, settings)
    assert about["checked"]["pictures"] == 1  # type: ignore[index]
    assert about["labels"] == [{"label": "owl", "label_zh": "猫头鹰"}, {"label": "kite", "label_zh": "kite"}]


def test_fifty_pictures_are_drawn_that_int8_was_not_calibrated_on() -> None:
    pictures = check.pictures_to_check(None, IMAGENET, max_pixels=1)
    assert pictures.shape == (50, 3, 224, 224)
    assert not torch.equal(pictures[:8], drawn_pictures(8, IMAGENET, seed=0))


def test_onnx_without_its_packages_is_one_sentence_that_says_how_to_get_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxruntime" else "here")
    with pytest.raises(ExportError, match=r"onnxruntime is missing.*pip install -r requirements-export\.txt"):
        export.export(Order("imagenet", "onnx", tmp_path / "out"), settings)


def test_the_command_s_help_does_not_wait_for_torch() -> None:
    code = "import sys, app.models_commands; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


class Served:
    """Stands in for a mode of two classes, whose features are its pictures."""

    class backbone:  # noqa: N801
        features = staticmethod(lambda pictures: pictures)

    probabilities = staticmethod(lambda features: features)


def test_agreement_counts_what_share_of_the_probability_lies_elsewhere() -> None:
    served = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.6, 0.0]])
    answers = torch.tensor([[0.5, 0.2, 0.3], [0.7, 0.3, 0.0]])
    agreement = Judge(Served, served).agreement(lambda _: answers)
    assert agreement.same_top_1 == 0.5
    assert (agreement.moved_mean, agreement.moved_most) == pytest.approx((0.2, 0.3))
    assert agreement.features is None


def test_features_are_compared_where_a_backbone_is_given() -> None:
    served = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    turned: Callable[[Tensor], Tensor] = lambda pictures: pictures + torch.tensor([0.0, 1.0])  # noqa: E731
    assert Judge(Served, served).agreement(lambda pictures: pictures, turned).features == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("limits", [FAITHFUL, LOWER])
def test_answers_that_are_no_numbers_never_agree(limits: check.Limits) -> None:
    assert Agreement(50, 1.0, 0.0, 0.0).within(limits)
    assert not Agreement(50, 1.0, float("nan"), float("nan")).within(limits)
    assert not Agreement(50, 1.0, 0.0, 0.0, features=0.9).within(limits)
    assert not Agreement(50, 0.5, 0.0, 0.0).within(limits)
