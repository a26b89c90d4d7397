"""RESNET18_WEIGHTS: the operator's own file, under its own name, or a plain refusal."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from app.config import Settings
from app.errors import WeightsError
from app.vision import networks
from app.vision.weights import Weights, find_network_weights, find_weights
from tests.weights.toy_weights import TOY, TOY_NAME, file_of


def test_a_resnet18_of_the_operators_own_is_called_custom(settings: Settings, random_resnet18: Path) -> None:
    weights = find_weights(settings.model_copy(update={"resnet18_weights": random_resnet18}))
    sha256 = hashlib.sha256(random_resnet18.read_bytes()).hexdigest()
    assert weights == Weights("resnet18", f"custom-{sha256[:8]}", sha256, random_resnet18, "setting")
    assert weights.state_dict()["fc.weight"].shape == (1000, 512)


def test_the_setting_is_the_original_only_by_its_hash_whatever_its_name(
    models: Path, random_resnet18: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disguised = models / "resnet18-f37072fd.pth"
    disguised.write_bytes(random_resnet18.read_bytes())
    settings = Settings(models_dir=models, resnet18_weights=disguised)
    assert find_weights(settings).version.startswith("custom-")

    original = hashlib.sha256(random_resnet18.read_bytes()).hexdigest()[:8]
    metadata = SimpleNamespace(name="IMAGENET1K_V1", url=f"https://weights.invalid/resnet18-{original}.pth")
    monkeypatch.setattr(networks, "published", lambda name: metadata)
    assert find_weights(settings).version == "imagenet1k_v1"


def test_the_setting_comes_before_the_files_that_lie_here(
    models: Path, random_resnet18: Path, toy: None, hub_cache: Path
) -> None:
    (models / TOY_NAME).write_bytes(TOY)
    assert find_weights(Settings(models_dir=models, resnet18_weights=random_resnet18)).origin == "setting"


def test_the_setting_is_for_resnet18_alone(settings: Settings, random_resnet18: Path) -> None:
    chosen = settings.model_copy(update={"resnet18_weights": random_resnet18})
    assert find_network_weights("resnet50", chosen) is None
    lite0 = find_network_weights("efficientnet_lite0", chosen)
    assert lite0 is not None
    assert lite0.origin == "package"


def ten_classes(state: dict[str, Tensor]) -> bytes:
    return file_of(state | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda state: b"", "is damaged, or is not a file of weights"),
        (lambda state: b"not weights at all", "is damaged, or is not a file of weights"),
        (lambda state: file_of(state)[:-5000], "is damaged, or is not a file of weights"),
        (lambda state: file_of([torch.zeros(1)]), "is not a plain state_dict"),
        (lambda state: file_of({"state_dict": state}), "is not a plain state_dict"),
        (ten_classes, "it knows 10 classes, not 1000"),
        (lambda state: file_of(state | {"conv1.weight": torch.zeros(64, 3, 3, 3)}), "size mismatch for conv1.weight"),
        (lambda state: file_of({"weight": torch.zeros(1)}), "not those of resnet18"),
    ],
)
def test_a_setting_with_wrong_contents_is_refused_in_one_sentence(
    models: Path, random_state: dict[str, Tensor], make: Callable[[dict[str, Tensor]], bytes], reason: str
) -> None:
    path = models / "chosen.pth"
    path.write_bytes(make(random_state))
    with pytest.raises(WeightsError, match=reason) as caught:
        find_weights(Settings(models_dir=models, resnet18_weights=path))
    assert str(caught.value).startswith("RESNET18_WEIGHTS cannot be used: ")
    assert "\n" not in str(caught.value)


class Trap:
    """Runs code as soon as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("pack", [file_of, pickle.dumps], ids=["torch.save", "pickle"])
def test_code_in_a_file_of_weights_is_never_run(models: Path, tmp_path: Path, pack: Callable[[object], bytes]) -> None:
    path, marker = models / "trap.pth", tmp_path / "sprung"
    path.write_bytes(pack({"fc.weight": Trap(marker)}))
    pickle.loads(pickle.dumps(Trap(marker)))
    assert marker.exists(), "the trap does not work"
    marker.unlink()
    with pytest.raises(WeightsError, match="is damaged, or is not a file of weights"):
        find_weights(Settings(models_dir=models, resnet18_weights=path))
    assert not marker.exists()


@pytest.mark.shared
def test_genuine_weights_by_the_setting_recognise_a_cat(models: Path, resnet18_weights: Path, cat: Image.Image) -> None:
    weights = find_weights(Settings(models_dir=models, resnet18_weights=resnet18_weights))
    assert weights.version == f"custom-{weights.sha256[:8]}"
    split = networks.build(weights.name, weights.state_dict())
    with torch.inference_mode():
        features = split.backbone(networks.transform_of(weights.name)(cat)[None])
    assert (features @ split.weight.T + split.bias).argmax().item() in range(281, 286)
