"""Teaching end to end: drawn photos to a version that a server answers with; killed, interrupted, short of memory."""

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from app.config import Settings
from app.errors import DataError
from app.registry.catalog import scan
from app.serving.manager import ModelManager
from app.training.options import Options, Recipe
from app.training.order import Order
from app.training.outcome import EpochRecord
from app.training.progress import Silent
from app.training.run import train
from app.training.steps import Steps
from tests.running import ROOT, clean_environment

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}
QUICK = {"epochs": 2, "views": 1, "device": "cpu", "precision": "float32"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight photos of each colour, all different, and one file that is none."""
    folder = tmp_path / "photos"
    generator = torch.Generator().manual_seed(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(8):
            picture = Image.new("RGB", (90, 80), colour)
            noise = (torch.rand(12, 10, 3, generator=generator) * 255).byte().numpy()
            picture.paste(Image.fromarray(noise).resize((40, 50)), (index * 5, 10))
            picture.save(folder / name / f"{index}.png")
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return folder


def command(photos: Path, *arguments: str) -> list[str]:
    options = ["--epochs", "2", "--views", "1", "--precision", "float32", "--device", "cpu"]
    return [sys.executable, "-m", "app", "train", str(photos), "--mode", "colours", *options, *arguments]


def environment(settings: Settings) -> dict[str, str]:
    return clean_environment() | {
        "MODELS_DIR": str(settings.models_dir),
        "RESNET18_WEIGHTS": str(settings.resnet18_weights),
        "TORCH_THREADS": "1",
    }


def start(settings: Settings, photos: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(photos, *arguments),
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until something is seen of a run that goes on."""
    limit = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit, "nothing was seen in two minutes"
        time.sleep(0.01)


def epochs_logged(settings: Settings) -> int:
    path = settings.models_dir / ".training" / "colours" / "metrics.jsonl"
    return sum(json.loads(line)["stage"] != "head" for line in path.read_text().splitlines()) if path.is_file() else 0


@pytest.mark.parametrize("recipe", get_args(Recipe))
def test_every_recipe_makes_a_version_that_is_served(recipe: str, settings: Settings, photos: Path) -> None:
    outcome = train(Order(photos, "colours", Options(recipe=recipe, **QUICK), "Colours", "颜色"), settings)
    manager = ModelManager(settings)
    manager.load()
    mode = manager.mode("colours")
    assert (mode.title_en, mode.title_zh) == ("Colours", "颜色")
    right = 0
    for name in COLOURS:
        picture = mode.backbone.transform(Image.open(photos / name / "3.png"))
        answer = manager.predict(picture, "colours")[0].argmax()
        right += mode.labels[int(answer)].label == name
    assert right == len(COLOURS)
    assert "broken.jpg" in " ".join(finding.sentence_en for finding in outcome.findings)


def test_a_running_server_picks_the_version_up(settings: Settings, photos: Path) -> None:
    manager = ModelManager(settings)
    manager.load()
    manager.watch()
    try:
        train(Order(photos, "colours", Options(**QUICK)), settings)
        limit = time.monotonic() + 20
        while "colours" not in [mode.key for mode in manager.modes()]:
            assert time.monotonic() < limit, "the server never saw it"
            time.sleep(0.05)
    finally:
        manager.close()


def test_a_batch_that_does_not_fit_is_halved_and_said(
    settings: Settings, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Steps._step
    sizes = []

    def short_of_memory(self: Steps, pictures: torch.Tensor, labels: torch.Tensor, size: int) -> float:
        if size > 4:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory")
        sizes.append(size)
        return step(self, pictures, labels, size)

    said = []
    progress = Silent()
    monkeypatch.setattr(progress, "say", lambda en, zh: said.append(en))
    monkeypatch.setattr(Steps, "_step", short_of_memory)
    train(Order(photos, "colours", Options(recipe="full", **QUICK)), settings, progress)
    assert set(sizes) == {4}
    assert [line for line in said if "pictures at a time" in line] == [
        "Memory does not suffice: going on with 8 pictures at a time.",
        "Memory does not suffice: going on with 4 pictures at a time.",
    ]


def test_one_run_at_a_time_teaches_a_mode(settings: Settings, photos: Path) -> None:
    class Second(Silent):
        def say(self, en: str, zh: str) -> None:
            with pytest.raises(DataError, match="right now"):
                train(Order(photos, "colours", Options(**QUICK)), settings)

        def advance(self, count: int = 1, record: EpochRecord | None = None) -> None:
            assert scan(settings.models_dir) == {}, "a half-made version can be seen"

    train(Order(photos, "colours", Options(**QUICK)), settings, Second())


@pytest.mark.slow
@pytest.mark.parametrize("room_kb", [2, 30])
def test_without_room_on_the_disk_a_run_ends_in_a_sentence_and_nothing_half_made(
    room_kb: int, settings: Settings, photos: Path
) -> None:
    """No file may be larger than `room_kb`: the first leaves no room for features, the second none for the report."""
    done = subprocess.run(
        command(photos),
        cwd=ROOT,
        env=environment(settings) | {"PYTHONDONTWRITEBYTECODE": "1"},  # half of a module's would stay
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room_kb * 1000, room_kb * 1000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert scan(settings.models_dir) == {}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["head", "staged"])
def test_a_killed_run_resumes_and_ends_as_it_would_have(recipe: str, settings: Settings, photos: Path) -> None:
    whole = settings.model_copy(update={"models_dir": settings.models_dir.parent / "whole"})
    whole.models_dir.mkdir()
    subprocess.run(command(photos, "--recipe", recipe), cwd=ROOT, env=environment(whole), check=True)
    workspace = settings.models_dir / ".training" / "colours"

    def middle() -> bool:
        return any(workspace.glob("train-*.features")) if recipe == "head" else epochs_logged(settings) > 1

    killed = start(settings, photos, "--recipe", recipe)
    wait_until(middle, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert scan(settings.models_dir) == {}, "a half-made version can be seen"

    resumed = start(settings, photos, "--recipe", recipe, "--resume")
    output = resumed.communicate()[0]
    assert "Going on where the run was stopped." in output
    name = "head.safetensors" if recipe == "head" else "network.safetensors"
    expected = load_file(whole.models_dir / "colours" / "v1" / name)
    for key, tensor in load_file(settings.models_dir / "colours" / "v1" / name).items():
        torch.testing.assert_close(tensor, expected[key], rtol=1e-4, atol=1e-5)
    lines = [(run.models_dir / "colours" / "v1" / "metrics.jsonl").read_text() for run in (settings, whole)]
    records, expected_records = ([json.loads(line) for line in text.splitlines()] for text in lines)
    assert [(one["stage"], one["epoch"]) for one in records] == [
        (one["stage"], one["epoch"]) for one in expected_records
    ]
    losses = [one["train_loss"] for one in expected_records]
    assert [one["train_loss"] for one in records] == pytest.approx(losses, rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(settings: Settings, photos: Path) -> None:
    run = start(settings, photos, "--recipe", "full", "--epochs", "500", "--no-early-stopping")
    wait_until(lambda: epochs_logged(settings) > 1, run)
    run.send_signal(signal.SIGINT)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    assert "interrupted; the best so far was kept" in output
    assert "colours" in scan(settings.models_dir)
