"""`make bundle`: one archive that installs and serves where there is no network at all."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.running import clean_environment, copy_checkout

pytestmark = pytest.mark.slow
LIMIT_S = 90
"""For all of it, in processor seconds: nearly the clock's on a quiet machine, and fair on a busy one."""


def new_network() -> list[str]:
    """What to put before a command so that it sees no network at all; empty where the system does not allow it."""
    prefix = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*prefix, "true"], check=False, capture_output=True)
    return prefix if allowed and allowed.returncode == 0 else []


def processor_seconds() -> float:
    """What the processes that were started and ended since the beginning have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_the_bundle_installs_and_serves_without_a_network(
    tmp_path: Path, cat: Image.Image, encode: Callable[..., bytes]
) -> None:
    picture = tmp_path / "cat.jpg"
    picture.write_bytes(encode(cat))
    started = processor_seconds()
    checkout = copy_checkout(tmp_path / "checkout")
    bundle = [sys.executable, "-m", "tools.bundle", "--prefer-binary"]
    subprocess.run(bundle, cwd=checkout, check=True, env=clean_environment("PIP_", "SSL_"))
    (archive,) = (checkout / "dist").glob("*.tar")
    subprocess.run(["tar", "-xf", str(archive), "-C", str(tmp_path)], check=True)

    prefix = new_network()
    environment = clean_environment() | {"PIP_CONFIG_FILE": "/dev/null", "NEW_NETWORK": "1" if prefix else ""}
    script = Path(__file__).with_name("running.py")
    done = subprocess.run(
        [*prefix, sys.executable, str(script), str(tmp_path / archive.stem), str(picture)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cat" in json.loads(done.stdout)["results"][0]["top"][0]["label"]
    assert processor_seconds() - started < LIMIT_S
