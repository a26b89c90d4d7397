"""The ModelManager: one backbone for all, modes that come and go, and the old one when the new is broken."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import app.torchvision_cpu  # noqa: F401 - before torchvision

# isort: split
import torchvision

from app.config import Settings
from app.errors import ModelError, NotReady, UnknownMode
from app.registry.state import activate
from app.registry.versions import HEAD
from app.serving.calibration import CALIBRATIONS
from app.serving.manager import ModelManager
from tests.conftest import write_head

Network = torchvision.models.ResNet


@pytest.fixture(scope="module")
def settings(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(resnet18_weights=toy_weights, models_dir=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def loaded(settings: Settings) -> ModelManager:
    manager = ModelManager(settings)
    manager.load()
    return manager


@pytest.fixture
def manager(loaded: ModelManager, settings: Settings) -> Iterator[ModelManager]:
    """One manager for the module, with an empty models folder before each test."""
    yield loaded
    loaded.close()
    shutil.rmtree(settings.models_dir)
    settings.models_dir.mkdir()
    loaded.refresh()


@pytest.fixture
def reference(toy_weights: Path) -> Network:
    network = torchvision.models.resnet18()
    network.load_state_dict(torch.load(toy_weights, weights_only=True))
    return network.eval()


def batch(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(3))


def test_predict_gives_torchvisions_probabilities_at_the_measured_temperature(
    manager: ModelManager, reference: Network
) -> None:
    with torch.inference_mode():
        expected = (reference(batch()) / CALIBRATIONS["resnet18"].temperature).softmax(dim=1)
    torch.testing.assert_close(manager.predict(batch()), expected, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(manager.predict(batch()[0]), expected[:1], atol=1e-5, rtol=1e-3)


def test_before_loading_there_is_nothing_to_ask(settings: Settings) -> None:
    manager = ModelManager(settings)
    assert not manager.ready
    with pytest.raises(NotReady):
        manager.predict(batch())


def test_an_unknown_mode_says_so(manager: ModelManager) -> None:
    with pytest.raises(UnknownMode, match="birds"):
        manager.predict(batch(), "birds")


def test_torch_threads_are_set(settings: Settings) -> None:
    before = torch.get_num_threads()
    try:
        ModelManager(settings.model_copy(update={"torch_threads": 1})).load()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_modes_on_the_frozen_backbone_share_it_and_one_pass(
    manager: ModelManager, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = manager.mode("imagenet")
    for key in ("birds", "cars", "tools"):
        write_head(settings.models_dir, key, base, ["one", "two", key])
    manager.refresh()
    assert [mode.key for mode in manager.modes()] == ["imagenet", "birds", "cars", "tools"]
    assert {id(mode.backbone) for mode in manager.modes()} == {id(base.backbone)}
    passes: list[int] = []
    features = base.backbone.features
    monkeypatch.setattr(base.backbone, "features", lambda tensor: passes.append(len(tensor)) or features(tensor))
    answers = manager.predict_modes(batch(), ["imagenet", "birds", "cars", "tools"])
    assert passes == [2]
    assert {key: answer.shape for key, answer in answers.items()} == {
        "imagenet": (2, 1000), "birds": (2, 3), "cars": (2, 3), "tools": (2, 3)
    }  # fmt: skip


def test_a_head_file_is_a_few_kilobytes(manager: ModelManager, settings: Settings) -> None:
    folder = write_head(settings.models_dir, "birds", manager.mode("imagenet"), ["owl", "kite"])
    assert (folder / HEAD).stat().st_size < 10_000


def test_a_whole_resnet18_with_another_fc_is_served_as_torchvision_would(
    manager: ModelManager, settings: Settings
) -> None:
    torch.manual_seed(5)
    network = torchvision.models.resnet18(num_classes=4).eval()
    torch.save(network.state_dict(), settings.models_dir / "sports.pth")
    (settings.models_dir / "sports.txt").write_text("ski\t滑雪\nsurf\t冲浪\nclimb\t攀岩\nrow\t划船\n", encoding="utf-8")
    manager.refresh()
    with torch.inference_mode():
        expected = network(batch()).softmax(dim=1)
    torch.testing.assert_close(manager.predict(batch(), "sports"), expected, atol=1e-5, rtol=1e-3)
    assert [label.label_zh for label in manager.mode("sports").labels] == ["滑雪", "冲浪", "攀岩", "划船"]


def test_a_plain_checkpoint_on_the_base_backbone_shares_it(
    manager: ModelManager, settings: Settings, reference: Network
) -> None:
    reference.fc = nn.Linear(512, 2)
    split = {
        f"features.{key}": value for key, value in nn.Sequential(*list(reference.children())[:-1]).state_dict().items()
    }
    split |= {f"classifier.{key}": value for key, value in reference.fc.state_dict().items()}
    torch.save(split, settings.models_dir / "defects.pth")
    (settings.models_dir / "defects.json").write_text('["good", "scratched"]')
    manager.refresh()
    assert manager.mode("defects").backbone is manager.mode("imagenet").backbone


def test_load_custom_head_takes_a_checkpoint_of_the_right_width(manager: ModelManager, tmp_path: Path) -> None:
    torch.save(nn.Linear(512, 2).state_dict(), tmp_path / "head.pth")
    (tmp_path / "head.txt").write_text("yes\nno\n")
    with pytest.raises(ModelError, match="2 classes, not 3"):
        manager.load_custom_head("decide", tmp_path / "head.pth", 3)
    manager.load_custom_head("decide", str(tmp_path / "head.pth"), 2)
    assert manager.predict(batch(), "decide").shape == (2, 2)
    manager.refresh()
    assert manager.predict(batch(), "decide").shape == (2, 2)


@pytest.mark.parametrize("key", ["imagenet", "../escape", ""])
def test_load_custom_head_refuses_a_name_that_is_taken_or_unsound(
    manager: ModelManager, tmp_path: Path, key: str
) -> None:
    torch.save(nn.Linear(512, 2).state_dict(), tmp_path / "head.pth")
    (tmp_path / "head.txt").write_text("yes\nno\n")
    with pytest.raises(ModelError):
        manager.load_custom_head(key, tmp_path / "head.pth", 2)


def test_a_mode_dropped_into_models_appears_changes_and_goes_while_watching(
    manager: ModelManager, settings: Settings
) -> None:
    manager.watch()
    base = manager.mode("imagenet")
    write_head(settings.models_dir, "birds", base, ["owl", "kite"])
    wait_until(lambda: len(manager.mode("birds").labels) == 2)
    write_head(settings.models_dir, "birds", base, ["owl", "kite", "wren"], version="v2")
    activate(settings.models_dir / "birds", "v2", action="promote", by="a test", why="")
    wait_until(lambda: manager.mode("birds").model.version == "v2")
    shutil.rmtree(settings.models_dir / "birds")
    wait_until(lambda: "birds" not in [mode.key for mode in manager.modes()])


def wait_until(holds: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except UnknownMode:
            assert time.monotonic() < end, "the mode never came"
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def test_a_broken_mode_is_refused_with_its_reason_and_the_old_one_goes_on(
    manager: ModelManager, settings: Settings
) -> None:
    folder = write_head(settings.models_dir, "birds", manager.mode("imagenet"), ["owl", "kite"])
    manager.refresh()
    before = manager.mode("birds")
    whole = (folder / HEAD).read_bytes()
    (folder / HEAD).write_bytes(whole[:100])
    manager.refresh()
    assert manager.mode("birds") is before
    assert "SHA-256" in manager.problems["birds"]
    (folder / HEAD).write_bytes(whole)
    manager.refresh()
    assert manager.problems == {}
    assert manager.mode("birds") is not before


def test_a_checkpoint_still_being_copied_is_refused_then_taken(manager: ModelManager, settings: Settings) -> None:
    torch.save(nn.Linear(512, 2).state_dict(), settings.models_dir / "whole")
    content = (settings.models_dir / "whole").read_bytes()
    (settings.models_dir / "whole").unlink()
    (settings.models_dir / "sports.txt").write_text("ski\nsurf\n")
    (settings.models_dir / "sports.pth").write_bytes(content[: len(content) // 2])
    manager.refresh()
    assert "damaged" in manager.problems["sports"]
    (settings.models_dir / "sports.pth").write_bytes(content)
    manager.refresh()
    assert manager.mode("sports").key == "sports"


@pytest.mark.parametrize(
    ("labels", "reason"), [(None, "no labels file"), ("one\n", "2 classes and its labels file 1"), ("a\na\n", "twice")]
)
def test_labels_that_do_not_fit_the_head_are_named(
    manager: ModelManager, settings: Settings, labels: str | None, reason: str
) -> None:
    torch.save(nn.Linear(512, 2).state_dict(), settings.models_dir / "sports.pth")
    if labels is not None:
        (settings.models_dir / "sports.txt").write_text(labels)
    manager.refresh()
    assert reason in manager.problems["sports"]


def test_a_head_of_another_width_is_refused(manager: ModelManager, settings: Settings) -> None:
    torch.save(nn.Linear(100, 2).state_dict(), settings.models_dir / "sports.pth")
    (settings.models_dir / "sports.txt").write_text("ski\nsurf\n")
    manager.refresh()
    assert "(2, 512)" in manager.problems["sports"]


def test_a_head_trained_on_other_weights_is_unavailable_and_says_how_to_train_it_again(
    manager: ModelManager, settings: Settings
) -> None:
    class Elsewhere:
        class backbone:  # noqa: N801
            name, fingerprint, width = "resnet18", "0" * 64, 512
            transform = manager.mode("imagenet").backbone.transform

    write_head(settings.models_dir, "birds", Elsewhere, ["owl", "kite"])
    manager.refresh()
    assert "python -m app train DATA --mode birds" in manager.problems["birds"]


def test_a_request_keeps_the_mode_it_took(manager: ModelManager, settings: Settings) -> None:
    base = manager.mode("imagenet")
    write_head(settings.models_dir, "birds", base, ["owl", "kite"])
    manager.refresh()
    taken = manager.mode("birds")
    write_head(settings.models_dir, "birds", base, ["a", "b", "c"], version="v2")
    activate(settings.models_dir / "birds", "v2", action="promote", by="a test", why="")
    manager.refresh()
    probabilities = taken.probabilities(taken.backbone.features(batch()))
    assert probabilities.shape[1] == len(taken.labels) == 2


def test_an_unused_backbone_leaves_memory(manager: ModelManager, settings: Settings) -> None:
    import gc
    import weakref

    torch.manual_seed(9)
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), settings.models_dir / "own.pth")
    (settings.models_dir / "own.txt").write_text("a\nb\n")
    manager.refresh()
    backbone = weakref.ref(manager.mode("own").backbone)
    (settings.models_dir / "own.pth").unlink()
    manager.refresh()
    gc.collect()
    assert backbone() is None


def test_many_threads_may_ask_while_modes_change(manager: ModelManager, settings: Settings) -> None:
    base = manager.mode("imagenet")
    write_head(settings.models_dir, "birds", base, ["v", "v-"], version="v1")
    manager.refresh()
    features = base.backbone.features(batch(1))
    stop, wrong = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            mode = manager.mode("birds")
            if mode.probabilities(features).shape[1] != len(mode.labels) or not mode.model.version.startswith("v"):
                wrong.append(mode)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 12):
        write_head(settings.models_dir, "birds", base, [f"{n}" for n in range(number)], version=f"v{number}")
        activate(settings.models_dir / "birds", f"v{number}", action="promote", by="a test", why="")
        manager.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(manager.mode("birds").labels) == 11
