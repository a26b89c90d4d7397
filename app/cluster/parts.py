"""What a bulk run writes: a folder, on the disk or in a store, of parts that are there whole or not at all.

A part's name is made of the paths in it: a process that died after it had written one, and another that does the same
work again, write the same file.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow
from fsspec.implementations.local import LocalFileSystem
from pyarrow import parquet

from app.cluster.places import READS, first_line, opened
from app.errors import OperatorError
from app.registry.files import write_file
from app.serving.classify import Row
from app.serving.mode import Mode

KINDS = ("parquet", "jsonl")
_NAME = pyarrow.string()
_GUESS = pyarrow.struct([("label", _NAME), ("label_zh", _NAME), ("confidence", pyarrow.float64())])
SCHEMA = pyarrow.schema(
    [
        *[(name, _NAME) for name in ("path", "mode", "version")],
        ("unknown", pyarrow.bool_()),
        *[(name, _NAME) for name in ("label", "label_zh")],
        ("confidence", pyarrow.float64()),
        ("top", pyarrow.list_(_GUESS)),
        ("error", _NAME),
    ]
)
"""Of a Parquet part: the columns of `classify.COLUMNS`."""
_Said = tuple[str, str, str]
"""A row's path, mode and version."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts at `place`, a folder's absolute path or an address; `kind` is one of `KINDS`."""

    place: str
    kind: str

    def done(self, mode: Mode) -> set[str]:
        """The paths that have a row. Makes the folder where there is none.

        Raises:
            OperatorError: the place cannot be used, or holds what was written in another kind, mode or version.
        """
        try:
            with ThreadPoolExecutor(READS) as threads:
                said = [row for rows in threads.map(self._said, self._names()) for row in rows]
        except (OSError, pyarrow.ArrowException) as error:
            raise OperatorError(f"{self.place} cannot be used: {first_line(error)}.") from error
        if any(row[1:] != (mode.key, mode.model.version) for row in said):
            raise OperatorError(f"{self.place} was written with another mode or version: name another output.")
        return {path for path, _, _ in said}

    def write(self, rows: Sequence[Row]) -> None:
        """Write one part, whole or not at all."""
        system, folder = opened(self.place)
        paths = "\n".join(row["path"] for row in rows)
        name = f"{folder}/part-{hashlib.sha256(paths.encode()).hexdigest()[:16]}.{self.kind}"
        if isinstance(system, LocalFileSystem):
            write_file(Path(name), self._as_bytes(rows))
        else:
            system.pipe_file(name, self._as_bytes(rows))  # a store has an object once all of it has come

    def _as_bytes(self, rows: Sequence[Row]) -> bytes:
        if self.kind == "jsonl":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(list(rows), SCHEMA), buffer)
        return buffer.getvalue()

    def _names(self) -> list[str]:
        system, folder = opened(self.place)
        system.makedirs(folder, exist_ok=True)
        names = [str(name) for name in system.find(folder) if PurePosixPath(name).name.startswith("part-")]
        if any(PurePosixPath(name).suffix != f".{self.kind}" for name in names):
            raise OperatorError(f"{self.place} holds parts that are not {self.kind}: name another output.")
        return names

    def _said(self, name: str) -> list[_Said]:
        system, _ = opened(self.place)
        if self.kind == "jsonl":
            rows = [json.loads(line) for line in system.cat_file(name).splitlines()]
            return [(row["path"], row["mode"], row["version"]) for row in rows]
        with system.open(name, "rb") as file:
            table = parquet.read_table(file, columns=["path", "mode", "version"], partitioning=None)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
