"""The 1000 names in both languages, and the labels files that people lay beside a checkpoint."""

import json
from pathlib import Path

import pytest

import app.torchvision_cpu  # noqa: F401 - before torchvision
from app.errors import ModelError
from app.vision.labels import imagenet_labels, read_labels


def test_the_labels_are_torchvisions_in_its_order() -> None:
    from torchvision.models import ResNet18_Weights

    assert [label.label for label in imagenet_labels()] == ResNet18_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.mark.parametrize("field", ["label", "label_short", "label_zh"])
def test_every_name_is_there_once(field: str) -> None:
    names = [getattr(label, field) for label in imagenet_labels()]
    assert all(name.strip() == name and name for name in names)
    assert len(set(names)) == 1000


def test_chinese_names_are_chinese() -> None:
    for label in imagenet_labels():
        assert any("\u4e00" <= character <= "\u9fff" for character in label.label_zh), label


def test_a_crane_is_a_bird_or_a_machine_and_says_which() -> None:
    bird, machine = imagenet_labels()[134], imagenet_labels()[517]
    assert (bird.label_short, bird.label_zh, bird.group_zh) == ("crane (bird)", "鹤", "鸟")
    assert (machine.label_short, machine.label_zh) == ("construction crane", "起重机")


def test_every_class_has_one_of_about_thirty_groups_with_both_names() -> None:
    groups = {(label.group, label.group_zh) for label in imagenet_labels()}
    assert 25 <= len(groups) <= 36
    assert all(english and chinese for english, chinese in groups)
    assert sum(label.group == "dog" for label in imagenet_labels()) == 118


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "cat\t猫\ndog\n"),
        ("a.json", json.dumps([{"label": "cat", "label_zh": "猫"}, "dog"])),
        ("a.json", json.dumps({"0": {"en": "cat", "zh": "猫"}, "1": "dog"})),
        ("a.json", json.dumps({"labels": [{"en": "cat", "zh": "猫"}, "dog"]})),
    ],
)
def test_labels_files_of_every_kind_are_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert [(label.label, label.label_zh) for label in read_labels(tmp_path / name)] == [("cat", "猫"), ("dog", "dog")]


def test_class_to_idx_is_read_in_index_order(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"dog": 1, "cat": 0}))
    assert [label.label for label in read_labels(tmp_path / "a.json")] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.txt", "cat\ncat\n"),
        ("a.json", "{"),
        ("a.json", '{"1": "cat"}'),
        ("a.json", "[3]"),
        ("a.json", "3"),
    ],
)
def test_a_labels_file_that_makes_no_sense_is_refused_with_a_reason(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match="label"):
        read_labels(tmp_path / name)
