"""What stands around the server: the Makefile (with a stub in Python's place), gunicorn's settings, the container."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from tests.running import ROOT, clean_environment

STUB = """#!/bin/sh
# Stands in for Python: makes an empty .venv, notes what pip is asked for, and shows the environment of the server.
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip "*) echo "$*" >> pip.log; exit "${PIP_FAILS:-0}" ;;
  "-m app serve") env > served ;;
  "-c "*"version_info"*) exit "${OLD_PYTHON:-0}" ;;
  "-c "*) exec REAL_ONE "$@" ;;
esac
"""


class Maker:
    """A folder with our Makefile and a stub of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (ROOT / "Makefile", *ROOT.glob("requirements*.txt")):
            (folder / path.name).write_bytes(path.read_bytes())
        self.stub = folder / "stub"
        self.stub.write_text(STUB.replace("REAL_ONE", sys.executable))
        self.stub.chmod(0o755)

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = clean_environment() | {"PYTHON": str(self.stub), "TORCH_INDEX": ""} | variables
        return subprocess.run(
            ["make", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def installs(self) -> list[str]:
        """What pip was asked for, a line a call."""
        log = self.folder / "pip.log"
        return log.read_text().splitlines() if log.exists() else []

    def served(self) -> dict[str, str]:
        """The environment in which the server was started."""
        lines = (self.folder / "served").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in lines)


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_make_run_passes_settings_on(maker: Maker) -> None:
    done = maker("run", "PORT=9000", ADMIN_TOKEN="a$b $(c) 'd'", PRECISION="int8")
    assert done.returncode == 0, done.stderr
    served = maker.served()
    assert (served["PORT"], served["ADMIN_TOKEN"], served["PRECISION"]) == ("9000", "a$b $(c) 'd'", "int8")


def test_a_second_run_installs_nothing(maker: Maker) -> None:
    maker("run")
    first = maker.installs()
    assert len(first) == 1
    assert first[0].endswith("-r requirements.txt")
    second = maker("run")
    assert maker.installs() == first
    assert second.stdout == ""


def test_serving_installs_nothing_for_teaching_and_teaching_nothing_twice(maker: Maker) -> None:
    maker("run")
    assert "requirements-train.txt" not in maker.installs()[0]
    assert maker("teach").returncode == 0
    assert [line.rpartition(" ")[2] for line in maker.installs()] == ["requirements.txt", "requirements-train.txt"]
    maker("teach")
    assert len(maker.installs()) == 2


def test_changed_requirements_are_installed(maker: Maker) -> None:
    maker("run")
    later = (maker.folder / ".venv" / "serve.stamp").stat().st_mtime + 5
    os.utime(maker.folder / "requirements.txt", (later, later))
    maker("run")
    assert len(maker.installs()) == 2


def test_a_failed_install_is_tried_again(maker: Maker) -> None:
    assert maker("run", PIP_FAILS="1").returncode != 0
    assert not (maker.folder / "served").exists()
    assert maker("run").returncode == 0
    assert len(maker.installs()) == 2


def test_an_old_python_is_refused_in_one_sentence(maker: Maker) -> None:
    done = maker("run", OLD_PYTHON="1")
    assert done.returncode != 0
    assert done.stderr.startswith("Wanwu needs Python 3.11 or newer")
    assert maker.installs() == []


def test_the_cpu_index_is_used_only_where_it_answers(maker: Maker) -> None:
    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{server.server_port}/cpu"
        maker("run", TORCH_INDEX=index)
        server.shutdown()
    maker("clean")
    maker("run", TORCH_INDEX=index)
    with_index, without = maker.installs()
    assert f"--extra-index-url {index} -r" in with_index
    assert "index" not in without


def test_a_bundle_asks_no_index(maker: Maker) -> None:
    (maker.folder / "wheels").mkdir()
    maker("run", TORCH_INDEX="http://127.0.0.1:1")
    (install,) = maker.installs()
    assert "--no-index --find-links wheels" in install
    assert "extra-index" not in install


def test_the_tests_install_only_what_is_missing(maker: Maker) -> None:
    """A path without a browser, and with an apt-get that notes what it is asked for."""
    tools = maker.folder / "tools"
    tools.mkdir()
    for name in ("make", "id", "ls"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("apt-get", "sudo"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {maker.folder}/asked\n')
        (tools / name).chmod(0o755)
    (tools / "initdb").symlink_to("/bin/true")
    done = maker("services", PATH=str(tools))
    assert done.returncode == 0, done.stderr
    asked = (maker.folder / "asked").read_text()
    assert "chromium" in asked
    assert "redis-server" in asked
    assert "postgresql" not in asked
    for name in ("chromium", "redis-server"):
        (tools / name).symlink_to("/bin/true")
    (maker.folder / "asked").unlink()
    maker("services", PATH=str(tools))
    assert not (maker.folder / "asked").exists()


def test_make_help_names_every_target(maker: Maker) -> None:
    listed = re.findall(r"^make (\w+)", maker("help").stdout, re.MULTILINE)
    assert listed == ["run", "teach", "test", "lint", "audit", "bench", "soak", "fuzz", "bundle", "clean"]


def gunicorn_facts(**variables: str) -> dict[str, Any]:
    """What gunicorn.conf.py says under these settings, and whether reading it loaded torch."""
    script = (
        "import json, runpy, sys; facts = runpy.run_path('gunicorn.conf.py');"
        "plain = {k: v for k, v in facts.items() if isinstance(v, (str, int, type(None)))};"
        "print(json.dumps(plain | {'torch': 'torch' in sys.modules, 'prometheus': 'prometheus_client' in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean_environment() | variables, capture_output=True, check=True
    )
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_gunicorn_serves_with_threads_and_never_preloads() -> None:
    facts = gunicorn_facts()
    assert facts["bind"] == "127.0.0.1:8000"
    assert (facts["worker_class"], facts["preload_app"]) == ("app.web.patience.PatientWorker", False)
    assert facts["accesslog"] is None
    assert facts["timeout"] >= 60
    # Imported in the master, torch could hang in the workers, and prometheus_client would not see the shared folder.
    assert (facts["torch"], facts["prometheus"]) == (False, False)


def test_gunicorn_follows_the_settings() -> None:
    facts = gunicorn_facts(HOST="::1", PORT="9000", MAX_QUEUE="100", DEADLINE_S="60")
    assert facts["bind"] == "[::1]:9000"
    assert facts["threads"] == 116
    assert facts["worker_connections"] > facts["threads"]
    assert facts["graceful_timeout"] == 65


def test_a_wrong_setting_stops_gunicorn_with_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn"], cwd=ROOT, env=clean_environment() | {"PORT": "http"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "PORT" in done.stderr


def dockerfile() -> dict[str, list[str]]:
    """The Dockerfile's instructions, continued lines joined: name to the values in order."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    instructions: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            instructions.setdefault(name, []).append(value)
    return instructions


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    instructions = dockerfile()
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+ AS server", instructions["FROM"][0])
    assert instructions["FROM"][-1] == "server"
    assert instructions["USER"] == ["wanwu"]
    assert json.loads(instructions["CMD"][0]) == ["python", "-m", "app", "serve"]
    check = json.loads(instructions["HEALTHCHECK"][0].partition("CMD ")[2])
    compile(check[2], "HEALTHCHECK", "exec")
    assert "/readyz" in check[2]
    assert any("download.pytorch.org/whl/cpu" in command for command in instructions["RUN"])


def test_the_images_weights_lie_outside_the_volume() -> None:
    instructions = dockerfile()
    environment = dict(pair.split("=", 1) for value in instructions["ENV"] for pair in value.split())
    (fetch,) = (command for command in instructions["RUN"] if "fetch-weights" in command)
    assert fetch.startswith(f"MODELS_DIR={environment['TORCH_HOME']}/hub/checkpoints ")
    assert environment["MODELS_DIR"] == instructions["VOLUME"][0]
    assert not environment["TORCH_HOME"].startswith(environment["MODELS_DIR"])


def test_the_build_context_holds_what_the_image_copies_and_nothing_else() -> None:
    copies = [value.split()[:-1] for value in dockerfile()["COPY"] if not value.startswith("--from=")]
    copied = {name.strip("/") for names in copies for name in names}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_the_image_carries_its_bill_of_materials_but_not_what_writes_it(tmp_path: Path) -> None:
    instructions = dockerfile()
    assert any(value.startswith("--from=bill ") and value.endswith(".cdx.json") for value in instructions["COPY"])
    (make,) = (command for command in instructions["RUN"] if "cyclonedx-py" in command)
    (pinned,) = re.findall(r"pip install (cyclonedx-bom==\S+)", make)
    assert pinned in (ROOT / "requirements-test.txt").read_text().split()
    assert "cyclonedx" not in (ROOT / "requirements.txt").read_text()
    options = make.partition("cyclonedx-py environment ")[2].split()[:3]
    bill = tmp_path / "bill.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", *options, "-o", str(bill), sys.executable]
    subprocess.run(command, check=True, capture_output=True)
    facts = json.loads(bill.read_text())
    versions = {one["name"].lower().replace("_", "-"): one["version"].partition("+")[0] for one in facts["components"]}
    assert facts["bomFormat"] == "CycloneDX"
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if "==" in line:
            name, version = re.split(r"(?:\[\w+\])?==", line)
            assert versions[name] == version


def compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["wanwu"]
    return service


def test_compose_takes_every_privilege_away() -> None:
    service = compose()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["${HOST:-127.0.0.1}:${PORT:-8000}:8000"]


def test_compose_hands_every_setting_on() -> None:
    fixed_in_the_image = {"HOST", "PORT", "MODELS_DIR"}
    settings = {name.upper() for name in Settings.model_fields} - fixed_in_the_image
    assert set(compose()["environment"]) == settings | {"WEB_CONCURRENCY"}


def test_the_grace_of_the_container_outlasts_gunicorns() -> None:
    assert int(compose()["stop_grace_period"].removesuffix("s")) > gunicorn_facts()["graceful_timeout"]
