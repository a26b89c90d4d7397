"""As in the container: no capabilities, and nothing to write to but two folders. (That its user is not root is in the
Dockerfile; here the interpreter itself may lie where only root may read.)"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, clean_environment, free_port, post, wait_until_ready

pytestmark = pytest.mark.slow
INSIDE = """
set -e
mount --make-rprivate /
mount --bind "$MODELS_DIR" "$MODELS_DIR"
mount --bind "$TMPDIR" "$TMPDIR"
mount -o remount,bind,ro /
mount --bind "$PWD" "$PWD"
mount -o remount,bind,ro "$PWD"
cd "$PWD"
if touch /written || touch written; then exit 9; fi
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")), reason="needs root, as CI has it"
)
def test_it_serves_without_capabilities_from_a_file_system_that_cannot_be_written(
    tmp_path: Path, cat_jpeg: bytes
) -> None:
    models, scratch, port = tmp_path / "models", tmp_path / "scratch", free_port()
    for folder in (models, scratch):
        folder.mkdir()
    environment = clean_environment() | {
        "PORT": str(port), "MODELS_DIR": str(models), "TMPDIR": str(scratch), "HOME": "/nonexistent",
    }  # fmt: skip
    serve = [sys.executable, "-m", "app", "serve"]
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", INSIDE, "sh", *serve],
            cwd=ROOT, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_until_ready(process, port, log)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert post(port, cat_jpeg)["results"][0]["label"]
    finally:
        process.terminate()
        assert process.wait(40) == 0
    assert "Traceback" not in log.read_text()
