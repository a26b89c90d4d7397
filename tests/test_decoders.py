"""Pictures are decoded in processes of their own: what one of them does there is felt by nobody else."""

import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import Busy, RequestError, TooManyPixels, UnreadableImage, UnsupportedFormat
from app.vision import decoders, picture
from app.vision.decoders import Decoders
from app.vision.transform import IMAGENET
from tests.running import ROOT, clean_environment, free_port, post, wait_until_ready

MAX_PIXELS = 10_000_000
DEADLY = [b"SEGFAULT", b"SPIN", b"ALLOCATE-IN-C", b"WAIT"]


@pytest.fixture(scope="module")
def bad() -> Iterator[Decoders]:
    pool = Decoders(module="tests.bad_decoder")
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Decoders], None]:
    return lambda pool: monkeypatch.setattr(decoders, "POOL", pool)


@pytest.fixture
def good(use: Callable[[Decoders], None]) -> Iterator[Decoders]:
    pool = Decoders()
    pool.start()
    use(pool)
    yield pool
    pool.close()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_away_a_picture_is_what_it_is_here(
    good: Decoders, encode: Callable[..., bytes], cat: Image.Image, format: str
) -> None:
    data = encode(cat.resize((1601, 1203)), format)
    here = picture.decode(data, max_pixels=MAX_PIXELS, shortest_side=100)
    away = decoders.decode(data, max_pixels=MAX_PIXELS, shortest_side=100)
    crop = decoders.decode_crop(data, IMAGENET, max_pixels=MAX_PIXELS)
    assert (away.format, away.width, away.height) == (here.format, here.width, here.height)
    assert away.image.info == here.image.info
    assert np.array_equal(np.asarray(away.image), np.asarray(here.image))
    local = picture.decode(data, max_pixels=MAX_PIXELS, shortest_side=IMAGENET.resize)
    assert np.array_equal(crop.pixels[0], IMAGENET.pixels(local.image))
    assert (crop.format, crop.width, crop.height) == (local.format, local.width, local.height)


@pytest.mark.shared
def test_away_every_awkward_file_is_what_it_is_here(good: Decoders, shared: Path) -> None:
    def found(decode: Callable[..., picture.Picture], data: bytes) -> object:
        try:
            one = decode(data, max_pixels=MAX_PIXELS, shortest_side=256)
        except RequestError as error:
            return error.code
        return one.format, one.width, one.height, one.image.info, one.image.tobytes()

    files = [path.read_bytes() for path in sorted((shared / "awkward").iterdir()) if path.is_file()]
    assert len(files) > 60
    assert all(found(decoders.decode, data) == found(picture.decode, data) for data in files)
    assert good.deaths == 0


def test_what_a_decoders_library_prints_is_not_in_the_log(
    good: Decoders, encode: Callable[..., bytes], cat: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(encode(cat, "TIFF", compression="tiff_adobe_deflate"))
    data[100:5000] = b"U" * 4900
    with pytest.raises(UnreadableImage):
        picture.decode(bytes(data), max_pixels=MAX_PIXELS, shortest_side=100)
    assert "ZIPDecode" in capfd.readouterr().err
    with pytest.raises(UnreadableImage):
        decoders.decode(bytes(data), max_pixels=MAX_PIXELS, shortest_side=100)
    assert capfd.readouterr().err == ""


def test_errors_are_told_as_they_are_here(good: Decoders, encode: Callable[..., bytes], cat: Image.Image) -> None:
    for data, error in (
        (b"no picture", UnsupportedFormat),
        (encode(cat, "PNG")[:900], UnreadableImage),
        (encode(cat.resize((4000, 3000)), "JPEG"), TooManyPixels),
    ):
        with pytest.raises(error):
            decoders.decode_crop(data, IMAGENET, max_pixels=MAX_PIXELS)
    assert good.deaths == 0


@pytest.mark.parametrize("fault", DEADLY)
def test_a_decoder_that_is_lost_costs_one_picture_and_no_more_than_two_seconds(
    bad: Decoders,
    use: Callable[[Decoders], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cat_jpeg: bytes,
    fault: bytes,
) -> None:
    use(bad)
    usual_s = decoders.PATIENCE_S
    patience_s = 1.0 if fault == b"WAIT" else decoders.PATIENCE_S
    monkeypatch.setattr(decoders, "PATIENCE_S", patience_s)
    for one in bad._idle:
        one.connection.settimeout(patience_s)
    deaths = bad.deaths
    with caplog.at_level(logging.WARNING), pytest.raises(UnreadableImage):
        decoders.decode_crop(fault + b" " + cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS)
    monkeypatch.setattr(decoders, "PATIENCE_S", usual_s)
    for one in bad._idle:
        one.connection.settimeout(usual_s)
    assert bad.deaths == deaths + 1
    assert "a decoder was lost over a picture" in caplog.text
    assert ("timed out" in caplog.text) == (fault == b"WAIT"), "the others end by themselves, long before"
    assert decoders.decode_crop(cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS).format == "JPEG"


def test_want_of_memory_is_an_answer(bad: Decoders, use: Callable[[Decoders], None], cat_jpeg: bytes) -> None:
    use(bad)
    deaths = bad.deaths
    with pytest.raises(TooManyPixels):
        decoders.decode_crop(b"ALLOCATE " + cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS)
    assert bad.deaths == deaths


@pytest.mark.parametrize("deed", [b"READ", b"CONNECT"])
def test_a_decoder_opens_neither_file_nor_connection(
    bad: Decoders, use: Callable[[Decoders], None], cat_jpeg: bytes, deed: bytes
) -> None:
    use(bad)
    with pytest.raises(UnreadableImage):
        decoders.decode_crop(deed + b" " + cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _runs(process) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_decoder_that_died_while_it_waited_costs_no_picture(good: Decoders, cat_jpeg: bytes) -> None:
    decoders.decode_crop(cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS)
    kill(good._idle[0].process)
    assert decoders.decode_crop(cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS).format == "JPEG"
    assert good.deaths == 0


def test_the_process_that_is_copied_is_started_again(good: Decoders, cat_jpeg: bytes) -> None:
    decoders.decode_crop(cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS)
    good._host._process.kill()
    good._host._process.wait()
    kill(good._idle[0].process)
    assert decoders.decode_crop(cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS).format == "JPEG"


def test_where_no_decoder_can_be_had_the_caller_is_asked_to_wait(
    use: Callable[[Decoders], None], cat_jpeg: bytes
) -> None:
    pool = Decoders(module="tests.no_such_module")
    pool.start()
    use(pool)
    with pytest.raises(Busy):
        decoders.decode_crop(cat_jpeg, IMAGENET, max_pixels=MAX_PIXELS)
    pool.close()


def test_many_at_once_get_their_own_pictures(good: Decoders, encode: Callable[..., bytes]) -> None:
    colours = [(16 * n, 255 - 16 * n, 40) for n in range(16)]
    files = [encode(Image.new("RGB", (300, 300), colour), "PNG") for colour in colours]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: decoders.decode_crop(data, IMAGENET, max_pixels=MAX_PIXELS), files * 4))
    assert [tuple(one.pixels[0][0, 0]) for one in found] == colours * 4


def test_decoders_end_with_their_server(tmp_path: Path, cat_jpeg: bytes) -> None:
    """Also where it is killed."""
    path = tmp_path / "cat.jpg"
    path.write_bytes(cat_jpeg)
    script = f"""
import os, signal
from app.vision.decoders import POOL, decode
POOL.start()
decode(open({str(path)!r}, "rb").read(), max_pixels=10**7, shortest_side=256)
print(POOL._host._process.pid, POOL._idle[0].process, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False, timeout=60)
    processes = [int(one) for one in done.stdout.split()]
    assert len(processes) == 2
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_runs(one) for one in processes):
        time.sleep(0.05)
    assert not any(_runs(one) for one in processes)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_decoding_knows_nothing_of_torch() -> None:
    script = "import sys, app.vision.decoding_process; print('torch' in sys.modules, 'flask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert done.stdout.split() == [b"False", b"False"]


@pytest.mark.slow
def test_a_server_outlives_its_decoders(tmp_path: Path, cat_jpeg: bytes) -> None:
    """gunicorn under load, while one caller sends what crashes, hangs and bursts decoders: the others are answered."""
    port, log = free_port(), tmp_path / "serve.log"
    environment = clean_environment() | {"PORT": str(port), "MODELS_DIR": str(tmp_path), "MAX_PIXELS": str(MAX_PIXELS)}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "tests.bad_wsgi:app"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_until_ready(process, port, log)
        faults = [b"SEGFAULT", b"SPIN", b"ALLOCATE", b"ALLOCATE-IN-C"] * 3

        def harm(fault: bytes) -> int:
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(port, fault + b" " + cat_jpeg)
            with refused.value as answer:
                return answer.code

        with ThreadPoolExecutor(4) as threads:
            harmed = [threads.submit(harm, fault) for fault in faults]
            answers = list(threads.map(lambda _: post(port, cat_jpeg), range(20)))
            codes = [one.result() for one in harmed]
        assert set(codes) == {422}
        assert {answer["results"][0]["image"]["format"] for answer in answers} == {"JPEG"}
        assert log.read_text().count("Booting worker") == 1
    finally:
        process.terminate()
        assert process.wait(40) == 0
