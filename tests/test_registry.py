"""`models/` on disk: whole versions or none, and plain checkpoints of every shape people have."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.errors import ModelError
from app.registry import versions
from app.registry.catalog import scan
from app.registry.checkpoint import read_checkpoint
from app.registry.manifest import is_key
from app.registry.state import activate, active_version
from app.registry.versions import read_version
from app.vision.download import sha256_of
from tests.conftest import write_head


class Base:
    """Stands in for the base mode where only its backbone's name and width matter."""

    class backbone:  # noqa: N801
        from app.vision.transform import IMAGENET as transform  # noqa: N811

        name, fingerprint, width = "resnet18", "f" * 64, 512


def test_a_version_reads_back_as_it_was_written(tmp_path: Path) -> None:
    folder = write_head(tmp_path, "birds", Base, ["owl", "kite"], ["猫头鹰", "鸢"])
    manifest, tensors = read_version(folder)
    assert [label.label_zh for label in manifest.labels] == ["猫头鹰", "鸢"]
    assert tensors["weight"].shape == (2, 512)
    assert active_version(tmp_path / "birds") == "v1"


def test_a_second_version_does_not_become_active_by_itself(tmp_path: Path) -> None:
    write_head(tmp_path, "birds", Base, ["owl", "kite"])
    write_head(tmp_path, "birds", Base, ["owl", "kite"], version="v2")
    assert active_version(tmp_path / "birds") == "v1"
    activate(tmp_path / "birds", "v2", action="promote", by="a test", why="")
    assert active_version(tmp_path / "birds") == "v2"


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    write_head(tmp_path, "birds", Base, ["owl", "kite"])
    with pytest.raises(ModelError, match="exists"):
        write_head(tmp_path, "birds", Base, ["owl", "kite"])


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(versions, "write_file", no_space)
    with pytest.raises(OSError, match="space"):
        write_head(tmp_path, "birds", Base, ["owl", "kite"])
    assert [path.name for path in (tmp_path / "birds").iterdir()] == [".lock"]
    assert scan(tmp_path) == {}


@pytest.mark.parametrize("damage", ["tensors", "manifest", "missing", "not_safetensors", "half_manifest"])
def test_a_damaged_version_is_refused_with_its_reason(tmp_path: Path, damage: str) -> None:
    folder = write_head(tmp_path, "birds", Base, ["owl", "kite"])
    head, manifest = folder / versions.HEAD, folder / versions.MANIFEST
    if damage == "tensors":
        save_file({"weight": torch.zeros(2, 512), "bias": torch.zeros(2)}, head)
    elif damage == "manifest":
        manifest.write_text(manifest.read_text().replace('"threshold": 0.5', '"threshold": 5'))
    elif damage == "missing":
        head.unlink()
    elif damage == "half_manifest":
        manifest.write_text(manifest.read_text()[:100])
    else:
        head.write_bytes(b"rubbish")
        content = json.loads(manifest.read_text())
        content["files"] = {versions.HEAD: sha256_of(head)}
        manifest.write_text(json.dumps(content))
    with pytest.raises(ModelError):
        read_version(folder)


@pytest.mark.parametrize("key", ["", ".hidden", "../up", "a/b", "a\\b", "a\0b", "a b", "a\n", "x" * 65, "a..b", "-a"])
def test_a_key_that_could_be_a_path_or_trick_is_refused(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize("key", ["birds", "outdoor_sports", "Rare-Animals", "户外运动", "v1.2"])
def test_ordinary_names_are_keys_in_any_script(key: str) -> None:
    assert is_key(key)


def test_the_scan_finds_folders_and_checkpoints_and_leaves_base_weights_alone(tmp_path: Path) -> None:
    write_head(tmp_path, "birds", Base, ["owl", "kite"])
    for name in ("sports.pth", "resnet18-f37072fd.pth", "README.md", ".hidden.pth"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sports.txt").write_text("ski\nsurf\n")
    (tmp_path / "empty").mkdir()
    found = scan(tmp_path)
    assert sorted(found) == ["birds", "sports"]
    assert found["sports"].labels_path == tmp_path / "sports.txt"


def test_the_name_of_the_base_mode_cannot_be_taken(tmp_path: Path) -> None:
    (tmp_path / "imagenet.pth").write_bytes(b"")
    assert "base mode" in str(scan(tmp_path)["imagenet"].problem)


def test_a_changed_file_changes_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "sports.pth"
    path.write_bytes(b"one")
    before = scan(tmp_path)["sports"].signature
    path.write_bytes(b"other")
    assert scan(tmp_path)["sports"].signature != before


def resnet18(classes: int) -> nn.Module:
    import app.torchvision_cpu  # noqa: F401

    # isort: split
    import torchvision

    torch.manual_seed(1)
    return torchvision.models.resnet18(num_classes=classes)


def test_checkpoints_of_every_shape_give_the_same_tensors(tmp_path: Path) -> None:
    network = resnet18(4)
    plain = network.state_dict()
    features = nn.Sequential(*list(network.children())[:-1]).state_dict()
    split = {f"features.{key}": value for key, value in features.items()}
    split |= {f"classifier.1.{key}": value for key, value in network.fc.state_dict().items()}
    named = {f"features.{key}": value for key, value in plain.items() if not key.startswith("fc.")}
    named |= {f"classifier.{key}": value for key, value in network.fc.state_dict().items()}
    shapes = {
        "plain": plain,
        "wrapped": {"epoch": 3, "state_dict": plain},
        "parallel": {f"module.{key}": value for key, value in plain.items()},
        "split": split,
        "named": named,
    }
    for name, state in shapes.items():
        path = tmp_path / f"{name}.pth"
        torch.save(state, path)
        checkpoint = read_checkpoint(path)
        assert torch.equal(checkpoint.weight, plain["fc.weight"]), name
        assert checkpoint.backbone is not None
        assert torch.equal(checkpoint.backbone["layer4.1.conv2.weight"], plain["layer4.1.conv2.weight"]), name


def test_a_bare_head_stands_on_the_base_backbone(tmp_path: Path) -> None:
    torch.save(nn.Linear(512, 3).state_dict(), tmp_path / "head.pth")
    checkpoint = read_checkpoint(tmp_path / "head.pth")
    assert checkpoint.backbone is None
    assert checkpoint.weight.shape == (3, 512)


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/wanwu-was-here",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint",
        {"fc.weight": torch.zeros(3)},
        {"other": torch.zeros(1)},
        {"fc.weight": torch.full((2, 512), torch.nan), "fc.bias": torch.zeros(2)},
        {
            "features.0.weight": torch.zeros(1),
            "classifier.0.weight": torch.zeros(2, 2),
            "classifier.3.weight": torch.zeros(2, 2),
        },
        ["a", "list"],
        {"fc.weight": Runs()},
    ],
    ids=["empty", "rubbish", "flat", "no_head", "nan", "two_layers", "list", "code"],
)
def test_what_is_no_checkpoint_is_refused_and_nothing_in_it_runs(tmp_path: Path, content: object) -> None:
    path = tmp_path / "bad.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ModelError):
        read_checkpoint(path)
    assert not Path("/tmp/wanwu-was-here").exists()
