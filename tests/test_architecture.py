"""The floor plan holds: imports between the rooms of `app/` point downward, and Flask stays upstairs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parent.parent / "app"
FLOORS = [
    "errors",
    "config",
    "torchvision_cpu",
    "torchvision_light",
    "vision",
    "registry",
    "photos",
    "serving",
    "cluster",
    "export",
    "training",
    "feedback",
    "web",
]
FILES = sorted(APP.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(APP).with_suffix("").parts[0]


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in FLOORS], ids=lambda path: str(path.name))
def test_imports_point_downward(path: Path) -> None:
    here = FLOORS.index(room(path))
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "app" and len(parts) > 1 and parts[1] in FLOORS:
            assert FLOORS.index(parts[1]) <= here, f"{path.name} imports {name} from above"


def test_only_web_and_the_factory_import_flask() -> None:
    users = {room(path) for path in FILES if any(name.split(".")[0] == "flask" for name in imports(path))}
    assert users <= {"web", "__init__"}


def test_nothing_that_serves_imports_training_or_export() -> None:
    for path in FILES:
        if room(path) in ("serving", "web", "__init__"):
            assert not any(name.startswith(("app.training", "app.export")) for name in imports(path)), path


def test_only_the_cluster_s_room_imports_ray_and_pyarrow() -> None:
    users = {room(path) for path in FILES if {name.split(".")[0] for name in imports(path)} & {"ray", "pyarrow"}}
    assert users <= {"cluster"}


def test_only_config_reads_the_environment() -> None:
    allowed = {"config.py", "metrics.py"}  # metrics: prometheus_client's own variable, which gunicorn.conf.py sets
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert path.name in allowed or ("os.environ" not in text and "getenv" not in text), path


def test_every_file_fits_in_a_reader_s_head() -> None:
    for path in FILES:
        assert path.read_text(encoding="utf-8").count("\n") < 300, path
