"""A run's own folder, `<models_dir>/.training/<mode>/`, which no server looks into: what a killed run goes on from."""

import fcntl
import hashlib
import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch

from app.errors import DataError
from app.registry.files import write_file
from app.training.outcome import EpochRecord

METRICS = "metrics.jsonl"
SEARCH = "search"
"""The folder, in a run's own, of a search for better options; it outlives the run's start."""
UNPACKED = "photos"
"""The folder for the photos of a zip, which are unpacked before the run starts."""
_KEY = "run.json"
FORMAT = 3
"""Raised whenever a change to the code makes older states useless."""


class Shelf:
    """A folder of tensors and plain values by name, which several processes may fill at once.

    Every write is whole or not there at all, so that `kill -9` at any moment leaves a state to go on from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Keep tensors and plain values under `name`."""
        content = io.BytesIO()
        torch.save(state, content)  # to a full disk it would write with an error of its own making
        write_file(self.folder / name, content.getvalue())

    def load(self, name: str) -> dict[str, Any] | None:
        """What was kept under `name`, or None."""
        path = self.folder / name
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state


class Workspace(Shelf):
    """The folder of the run that teaches `mode`; one run at a time has it."""

    def __init__(self, models_dir: Path, mode: str) -> None:
        super().__init__(models_dir / ".training" / mode)
        self._lock: IO[str] = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it with the process
        except OSError as error:
            self._lock.close()
            raise DataError(f"Another run is teaching '{mode}' right now.") from error

    def begin(self, identity: dict[str, Any], *, resume: bool) -> bool:
        """Go on with a run of the same `identity` (options, data, backbone), or start afresh. Whether it goes on.

        Raises:
            DataError: `resume` was asked for, and what lies here is of another run.
        """
        text = json.dumps({"format": FORMAT, **identity}, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        before = self._read_key()
        if resume and before == key:
            return True
        if resume and before is not None:
            raise DataError(
                "The run that was stopped had other options, other data or another backbone: repeat it exactly, "
                "or leave out --resume to start afresh."
            )
        self._empty()
        write_file(self.folder / _KEY, json.dumps({"key": key}))
        return False

    def log(self, records: Iterable[EpochRecord], *, afresh: bool = False) -> None:
        """Add epochs to metrics.jsonl, one line each, or write it `afresh`."""
        with (self.folder / METRICS).open("w" if afresh else "a", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(asdict(record)) + "\n")

    def metrics(self) -> bytes:
        """What metrics.jsonl holds."""
        path = self.folder / METRICS
        return path.read_bytes() if path.is_file() else b""

    def close(self, *, clear: bool = False) -> None:
        """Let go of the folder; `clear` removes it, once its version is written."""
        if clear:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _read_key(self) -> str | None:
        try:
            return str(json.loads((self.folder / _KEY).read_text())["key"])
        except (OSError, ValueError, KeyError):
            return None

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.name not in (".lock", SEARCH, UNPACKED):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
