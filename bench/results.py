"""The files of `bench/results/`: what was measured, on which machine, with which options and versions."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from app.config import ROOT, available_cores

FOLDER = ROOT / "bench" / "results"
_PACKAGES = ("torch", "torchvision", "pillow", "flask", "gunicorn", "litserve", "onnxruntime", "openvino")

_INSTRUCTIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Those that decide which precision is quick."""


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processors = [line.partition(":")[2].strip() for line in facts if line.startswith("model name")]
    flags = next((line.split() for line in facts if line.startswith("flags")), [])
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, check=False)
    return {
        "cpu": processors[0] if processors else platform.processor(),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "cores": available_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch_threads": torch.get_num_threads(),
        "commit": git.stdout.decode().strip(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def save(name: str, folder: Path, content: dict[str, Any], before: dict[str, Any]) -> Path:
    """Write `<date>-<name>.json` into `folder`; `before` is the machine as it was when the run began."""
    now = datetime.now(UTC)
    path = folder / f"{now:%Y-%m-%dT%H%M%SZ}-{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"date": now.isoformat(), "machine": before, **content}, indent=2) + "\n")
    return path


def newest(name: str, folder: Path) -> dict[str, Any]:
    """The last file of that name.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted(folder.glob(f"*Z-{name}.json"))
    if not found:
        raise FileNotFoundError(f"there is no result called '{name}' in {folder.name}/")
    content: dict[str, Any] = json.loads(found[-1].read_text())
    return content


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
