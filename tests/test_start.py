"""A start loads what serving needs, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, clean_environment

LOADED = """
import json, sys
from app import create_app
create_app(wait=True).extensions["recogniser"].close()
unwanted = ("torch._dynamo", "torch._inductor", "sympy", "sklearn", "imagehash")
print(json.dumps([name for name in unwanted if name in sys.modules]))
import torch._dynamo, torchvision
print(torch._dynamo.utils.is_compile_supported("cpu"))
"""


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_serving_loads_neither_torch_s_compiler_nor_what_training_needs(precision: str, tmp_path: Path) -> None:
    environment = {**clean_environment(), "PRECISION": precision, "MODELS_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    loaded, real = done.stdout.splitlines()
    assert json.loads(loaded) == []
    assert real == "True", "the compiler itself is as it was, for whoever asks for it later"
