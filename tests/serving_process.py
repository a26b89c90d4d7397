"""A real server, `python -m app serve`, for tests that hurt it, on a disk of its own that can be taken away."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.running import ROOT, clean_environment, free_port, wait_until_ready

TOKEN = "hush"


@dataclass
class Served:
    """A server that answers on `port`. `disk`: its models folder, as this process sees it."""

    process: subprocess.Popen[bytes]
    port: int
    models: Path
    log: Path

    @property
    def disk(self) -> Path:
        """The folder with what is mounted on it, which only the server sees under its name."""
        return Path(f"/proc/{self.process.pid}/root{self.models}")

    def workers(self) -> list[int]:
        """The worker processes."""
        master = self.process.pid
        return [int(one) for one in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    def ask(self, path: str, data: bytes | None = None, kind: str = "", method: str | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer; with the administrator's token."""
        headers = {"Authorization": f"Bearer {TOKEN}", **({"Content-Type": kind} if kind else {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def recognise(self, picture: bytes, query: str = "") -> tuple[int, Any]:
        """Post a JPEG to `/predict`."""
        return self.ask(f"/predict{query}", picture, "image/jpeg")

    def send(self, path: str, **fields: object) -> tuple[int, Any]:
        """Post JSON."""
        return self.ask(path, json.dumps(fields).encode(), "application/json")

    def correct(self, request_id: str) -> tuple[int, Any]:
        """Send a correction."""
        return self.send("/corrections", request_id=request_id, mode="imagenet", version="1", answer="cat",
                         confidence=0.5, label="tabby")  # fmt: skip

    def mount(self, *arguments: str) -> None:
        """Run `mount` or another such program where the server's disk is mounted."""
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", *arguments], check=True)


@contextmanager
def serving(models: Path, *, mount: str = "", **settings: str) -> Iterator[Served]:
    """A server on `models`, ended at the end, well. `mount`: options of a disk of its own to be mounted there."""
    port, log = free_port(), models.parent / f"serve-{models.name}-{os.urandom(4).hex()}.log"
    environment = clean_environment() | {
        "PORT": str(port), "MODELS_DIR": str(models), "ADMIN_TOKEN": TOKEN, "TORCH_HOME": str(models), **settings,
    }  # fmt: skip
    command = [sys.executable, "-m", "app", "serve"]
    if mount:
        mounted = f'mount -t tmpfs -o {mount} tmpfs "$0" && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mounted, str(models), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_until_ready(process, port, log)
        yield Served(process, port, models, log)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
