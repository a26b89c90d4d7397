"""`python -m app …`: whole folders classified, resumed and reported; weights fetched; errors in one sentence."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.__main__ import main
from tests.conftest import ROOT


@pytest.fixture
def album(tmp_path: Path, cat: Image.Image, astronaut: Image.Image, encode: Callable[..., bytes]) -> Path:
    """A folder with pictures in two depths, a damaged one, and a file that is no picture."""
    folder = tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    (folder / "cat.jpg").write_bytes(encode(cat))
    (folder / '猫, "照片".PNG').write_bytes(encode(cat, "PNG"))
    (folder / "deeper" / "astronaut.webp").write_bytes(encode(astronaut, "WEBP"))
    (folder / "deeper" / "damaged.jpg").write_bytes(encode(cat)[:3000])
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_folder_is_classified_to_csv(run: Callable[..., Result], album: Path, tmp_path: Path) -> None:
    result = run("classify", album, "-o", tmp_path / "out.csv", "--threshold", "0.2")
    assert result.exit_code == 0, result.output
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert sorted(rows) == ["astronaut.webp", "cat.jpg", "damaged.jpg", '猫, "照片".PNG']
    assert "猫" in rows["cat.jpg"]["label_zh"]
    assert len(json.loads(rows["cat.jpg"]["top"])) == 3
    assert rows["damaged.jpg"]["error"] == "unreadable_image"
    assert "3 pictures classified, 1 could not be read, 0 were done before" in result.output


def test_json_lines_go_to_standard_output_and_the_answers_are_those_of_the_service(
    run: Callable[..., Result], album: Path
) -> None:
    result = run("classify", album / "cat.jpg", album / "deeper" / "damaged.jpg", "--format", "jsonl", "--top-k", "1")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["error"] for row in rows] == [None, "unreadable_image"]
    assert rows[0]["top"][0]["label"] in ("tabby", "tiger cat", "Egyptian cat")
    assert rows[0]["mode"] == "imagenet"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_a_run_that_was_killed_resumes_without_a_double_or_a_gap(
    run: Callable[..., Result], album: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    run("classify", album, "-o", output)
    whole = output.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    output.write_text("".join(lines[:-1]) + lines[-1][:10], encoding="utf-8")  # killed in the middle of its last line
    result = run("classify", album, "-o", output)
    resumed = output.read_text(encoding="utf-8")
    assert resumed.startswith("".join(lines[:-1]))
    assert named(resumed, output.suffix) == named(whole, output.suffix)
    assert "3 were done before" in result.output
    result = run("classify", album, "-o", output)
    assert output.read_text(encoding="utf-8") == resumed
    assert "0 pictures classified" in result.output


def named(text: str, suffix: str) -> list[tuple[str, str]]:
    """The paths and labels of an output, without the confidences, whose last digit depends on the batch."""
    lines = text.splitlines()
    rows = csv.DictReader(lines) if suffix == ".csv" else [json.loads(line) for line in lines]
    return [(row["path"], row["label"]) for row in rows]


def test_an_output_of_another_version_is_not_mixed(run: Callable[..., Result], album: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text(json.dumps({"path": "x", "mode": "birds", "version": "v1"}) + "\n")
    result = run("classify", album, "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert "another mode or version" in result.output


def test_an_unknown_mode_is_one_sentence(run: Callable[..., Result], album: Path) -> None:
    result = run("classify", album, "--mode", "birds")
    assert result.exit_code == 1
    assert "There is no mode called 'birds'" in result.output


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_bad_setting_stops_the_start_with_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"rubbish")
    for name, value in (("PORT", "eighty"), ("RESNET18_WEIGHTS", str(bad))):
        done = command("serve", **{name: value})
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert ("PORT" if name == "PORT" else "bad.pth") in done.stderr


def test_fetch_weights_without_a_network_says_what_will_answer(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/resnet18-f37072fd.pth"
    done = command("fetch-weights", "--url", nobody, MODELS_DIR=str(tmp_path), TORCH_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "efficientnet_lite0" in done.stdout
    assert "Traceback" not in done.stderr


def test_fetch_weights_of_an_unknown_network_fails_with_a_sentence(tmp_path: Path) -> None:
    done = command("fetch-weights", "--network", "resnet1", MODELS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "resnet1" in done.stderr
    assert "Traceback" not in done.stderr
