"""The awkward files that other projects stumbled over: each gets a picture or a sentence, soon and cheaply."""

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ALLOWED = {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"}
MEGABYTE = 2**20

DECODE_ALL = """
import json, pathlib, sys, time
from app.errors import PublicError
from app.vision.picture import decode
from tests.drawn import peak_mb

before, answers = peak_mb(), {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    data, start = path.read_bytes(), time.thread_time()
    try:
        seen = decode(data, max_pixels=50_000_000, shortest_side=256)
        answer = {"mode": seen.image.mode, "format": seen.format, "size": [seen.width, seen.height]}
    except PublicError as error:
        answer = {"error": error.code}
    answers[path.name] = answer | {"seconds": time.thread_time() - start}
print(json.dumps({"answers": answers, "growth_mb": peak_mb() - before}))
"""


@pytest.fixture(scope="module")
def manifest(shared) -> list[dict[str, str]]:
    with (shared / "awkward" / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def outcome(shared: Path) -> dict:
    """Every file decoded in one process, which may not have more than a gigabyte of addresses for all it is."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1024 * MEGABYTE, 1024 * MEGABYTE))

    command = [sys.executable, "-c", DECODE_ALL, str(shared / "awkward")]
    ran = subprocess.run(command, capture_output=True, cwd=ROOT, preexec_fn=limit, timeout=120, check=True)
    return json.loads(ran.stdout)


def test_every_awkward_file_is_answered(manifest, outcome):
    assert {row["path"] for row in manifest} <= set(outcome["answers"])
    errors = {answer.get("error") for answer in outcome["answers"].values()}
    assert errors <= {None, "unsupported_format", "unreadable_image", "too_many_pixels"}


def test_what_pillow_loads_in_an_allowed_format_becomes_a_picture(manifest, outcome):
    good = [row for row in manifest if row["pillow"] == "ok" and row["format"] in ALLOWED]
    assert len(good) > 40
    for row in good:
        answer = outcome["answers"][row["path"]]
        assert (answer.get("mode"), answer.get("format")) == ("RGB", row["format"]), row["path"]
        # The manifest has the size as it is stored, which may lie on its side.
        assert sorted(answer["size"]) == sorted([int(row["width"]), int(row["height"])]), row["path"]


def test_other_formats_are_unsupported_and_broken_ones_unreadable(manifest, outcome):
    for row in manifest:
        answer = outcome["answers"][row["path"]]
        if row["format"] and row["format"] not in ALLOWED:
            assert answer.get("error") == "unsupported_format", row["path"]
        elif row["pillow"] == "load-fail":
            assert answer.get("error") == "unreadable_image", row["path"]


def test_a_text_bomb_is_unreadable_and_a_giant_header_has_too_many_pixels(outcome):
    assert outcome["answers"]["pillow_png_decompression_dos.png"]["error"] == "unreadable_image"
    assert outcome["answers"]["pillow_bmp_b_reallybig.bmp"]["error"] == "too_many_pixels"


def test_heif_is_read_though_pillow_alone_does_not(manifest, outcome):
    heif = [row["path"] for row in manifest if row["path"].endswith(".heif")]
    assert [outcome["answers"][path].get("format") for path in heif] == ["HEIC"] * 3


def test_all_nine_orientations_of_a_landscape_stand_upright(outcome):
    sizes = [outcome["answers"][f"exif-orientation_Landscape_{number}.jpg"]["size"] for number in range(9)]
    assert sizes == [[1800, 1200]] * 9


def test_no_awkward_file_takes_long_or_much_memory(outcome):
    slow = {path: answer["seconds"] for path, answer in outcome["answers"].items() if answer["seconds"] > 2}
    assert slow == {}
    assert outcome["growth_mb"] < 300
