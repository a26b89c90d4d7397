"""Who is compared: the plain reference, Wanwu, and the rivals that are installed here."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

INSTALL = "pip install -r requirements-bench.txt"
REFERENCE = "reference"
WANWU = "Wanwu"
"""How the names of Wanwu's own servers begin; the precision follows."""

_GUNICORN = ("-m", "gunicorn", "--worker-class", "gthread", "--threads", "8", "--timeout", "0")


@dataclass(frozen=True, slots=True)
class Contender:
    """A server. It finds its PORT and RESNET18_WEIGHTS in the environment, beside the `settings` of its own."""

    name: str
    about: str
    arguments: tuple[str, ...]
    """What Python is started with; `{port}` is filled in."""
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    """What must be installed for it."""

    def command(self, port: int) -> list[str]:
        """The whole command line."""
        return [sys.executable, *(argument.replace("{port}", str(port)) for argument in self.arguments)]

    def missing(self) -> list[str]:
        """The modules that it needs and that are not here."""
        return [name for name in self.modules if find_spec(name) is None]


def wanwu(precision: str) -> Contender:
    """Wanwu as `make run` serves it, in that precision."""
    # A server that waits is stopped (bench/servers.py); gunicorn must not take its worker for a stuck one.
    settings = {"PRECISION": precision, "GUNICORN_CMD_ARGS": "--timeout 0"}
    return Contender(f"{WANWU} {precision}", f"as `make run` serves it, PRECISION={precision}", _SERVE, settings)


_SERVE = ("-m", "app", "serve")
PLAIN = Contender(REFERENCE, "a tutorial's server: eager, full decode, Flask's own server", ("-m", "bench.reference"))
RIVALS = (
    Contender(
        "LitServe",
        "eager, torchvision's transforms, batches of up to 8, a worker a core",
        ("-m", "bench.litserve_server"),
        modules=("litserve", "multipart"),
    ),
    Contender(
        "ONNX Runtime",
        "one session with its defaults behind Flask and gunicorn's threads, torchvision's transforms",
        (*_GUNICORN, "--bind", "127.0.0.1:{port}", "bench.runtimes:create_server('onnxruntime')"),
        modules=("onnxruntime", "onnx", "onnxscript"),
    ),
    Contender(
        "OpenVINO",
        "a model compiled with its defaults behind Flask and gunicorn's threads, torchvision's transforms",
        (*_GUNICORN, "--bind", "127.0.0.1:{port}", "bench.runtimes:create_server('openvino')"),
        modules=("openvino",),
    ),
)
EVERYBODY = (PLAIN, wanwu("float32"), wanwu("int8"), *RIVALS)
WITHOUT_RESNET18 = (PLAIN, wanwu("float32"))
"""The packaged EfficientNet-Lite0 is Wanwu's own fallback: no rival serves it, and int8 does not agree with it."""
