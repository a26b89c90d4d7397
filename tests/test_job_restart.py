"""A training that outlives its server: killed with all its workers, started again on the same port, nothing is lost."""

import http.client
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.running import ROOT, Server, clean_environment, free_port, wait_until_ready

pytestmark = pytest.mark.slow
LIMIT_S = 500
"""For a training of 24 photos at idle priority, on a machine that may have other things to do."""


class Place:
    """A server of its own session on a port and a folder of models, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.models.mkdir()
        self.log = folder / "serve.log"
        self.port = free_port()
        self.process: Server | None = None

    def start(self) -> None:
        environment = clean_environment() | {
            "PORT": str(self.port), "MODELS_DIR": str(self.models), "TORCH_HOME": str(self.models),
            "ADMIN_LOOPBACK": "1", "TORCH_THREADS": "1",
        }  # fmt: skip
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        wait_until_ready(self.process, self.port, self.log)

    def kill(self) -> None:
        """`kill -9` the master and its workers; jobs are in sessions of their own."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if isinstance(body, dict) and "file" in body:
            boundary, content = encode_multipart(body)
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        else:
            content = json.dumps(body).encode() if body is not None else b""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, content, headers)
            with connection.getresponse() as answer:
                return json.load(answer)

    def listen(self, job_id: str, after: int, until: str) -> tuple[list[dict[str, Any]], int, dict[str, Any] | None]:
        """Events after the id `after`, up to the first of the kind `until`; the last id, and the job where it ended."""
        events: list[dict[str, Any]] = []
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for fields in self._messages(f"/api/jobs/{job_id}/events?after={after}"):
                after, content = int(fields["id"]), json.loads(fields["data"])
                if fields.get("event") == "end":
                    return events, after, content
                events.append(content)
                if content["event"] == until:
                    return events, after, None
        raise AssertionError(f"no {until} in {LIMIT_S} s; so far {events[-5:]}")

    def _messages(self, path: str) -> Iterator[dict[str, str]]:
        """The messages of one stream, each with its fields; comments are none."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as answer:
                fields: dict[str, str] = {}
                for line in answer:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name:
                        fields[name] = value
                    elif "data" in fields:
                        yield fields
                    if not name:
                        fields = {}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    there = Place(tmp_path)
    there.start()
    yield there
    there.kill()


def drawn(shape: str, seed: int) -> FileStorage:
    """A photo of a circle or a square."""
    dice = random.Random(f"{shape} {seed}")
    image = Image.new("RGB", (240, 240), tuple(dice.randrange(120, 256) for _ in range(3)))
    pencil = ImageDraw.Draw(image)
    x, y, size = dice.randrange(20, 90), dice.randrange(20, 90), dice.randrange(70, 120)
    draw = pencil.ellipse if shape == "circle" else pencil.rectangle
    draw((x, y, x + size, y + size), fill=tuple(dice.randrange(100) for _ in range(3)))
    for _ in range(80):
        left, top = dice.randrange(240), dice.randrange(240)
        pencil.rectangle((left, top, left + 5, top + 5), fill=tuple(dice.randrange(256) for _ in range(3)))
    content = io.BytesIO()
    image.save(content, "JPEG")
    content.seek(0)
    return FileStorage(content, f"{shape}-{seed}.jpg", content_type="image/jpeg")


def taught(place: Place, photos: int) -> str:
    """The key of an album of circles and squares."""
    key: str = place.ask("POST", "/api/albums", {"title_en": "Shapes", "title_zh": "形状"})["key"]
    for shape, name in (("circle", "圆"), ("square", "方")):
        album = place.ask("POST", f"/api/albums/{key}/classes", {"label": shape, "label_zh": name})
        files = [drawn(shape, seed) for seed in range(photos)]
        kind = album["classes"][-1]["id"]
        added = place.ask("POST", f"/api/albums/{key}/classes/{kind}/photos", {"file": files})
        assert all(one["photo"] for one in added["results"]), added
    return key


def test_a_training_goes_on_while_its_server_is_killed_and_started_again(place: Place) -> None:
    key = taught(place, 12)
    job = place.ask("POST", f"/api/albums/{key}/train", {})
    assert job["state"] == "running", job
    before, last, _ = place.listen(job["id"], 0, until="part")
    place.kill()
    place.start()
    after, end_id, ended = place.listen(job["id"], last, until="nothing")
    assert ended is not None
    assert ended["state"] == "done", ended
    assert ended["result"]["active"] is True
    whole, whole_id, _ = place.listen(job["id"], 0, until="nothing")
    assert before + after == whole, "nothing is lost and nothing comes twice"
    assert end_id == whole_id
    assert {"part", "step", "epoch", "say"} == {event["event"] for event in whole}
    assert place.ask("GET", f"/api/modes/{key}")["active"] == ended["result"]["version"]
    deadline = time.monotonic() + 60
    while key not in {mode["key"] for mode in place.ask("GET", "/modes")["modes"]}:
        assert time.monotonic() < deadline, "the mode is not served"
        time.sleep(0.2)
    answer = place.ask("POST", f"/predict?mode={key}", {"file": drawn("circle", 99)})
    assert answer["model"]["version"] == ended["result"]["version"]


def test_a_cancelled_training_leaves_no_process(place: Place) -> None:
    key = taught(place, 6)
    job = place.ask("POST", f"/api/albums/{key}/train", {})
    place.listen(job["id"], 0, until="part")
    process = int((place.models / ".jobs" / job["id"] / "process").read_text())
    assert processes_of(process)
    assert place.ask("DELETE", f"/api/jobs/{job['id']}")["state"] == "cancelled"
    deadline = time.monotonic() + 60
    while processes_of(process):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert place.listen(job["id"], 0, until="nothing")[2]["state"] == "cancelled"
    again = place.ask("POST", f"/api/albums/{key}/train", {})
    assert again["state"] == "running"
    place.ask("DELETE", f"/api/jobs/{again['id']}")


def processes_of(session: int) -> list[int]:
    """The processes of a session that live; Linux only."""
    living = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            living.append(int(path.parent.name))
    return living
