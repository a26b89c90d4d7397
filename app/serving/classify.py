"""Whole folders of pictures to CSV or JSON lines: in batches, with a progress bar, resumed where it stopped."""

import csv
import json
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from app.errors import OperatorError, RequestError, UnreadableImage
from app.serving.batching import MAX_BATCH, Answer, Batcher, Decoded, decoded
from app.serving.decision import Opinion, decide
from app.serving.mode import Mode

COLUMNS = ("path", "mode", "version", "unknown", "label", "label_zh", "confidence", "top", "error")
_AHEAD = 2 * MAX_BATCH
"""How many pictures are on their way for each thread: enough to keep it busy, few enough to bound memory."""

Row = dict[str, Any]
"""What is said of one picture, by the names of `COLUMNS`; `error` is a RequestError's code, or None."""
Fetch = Callable[[str], Callable[[], bytes]]
"""Told that a picture is next, by its path; what it returns gives the bytes, or raises OSError or UnreadableImage."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How to classify."""

    mode: Mode
    threshold: float
    top_k: int
    max_pixels: int
    threads: int


@dataclass(slots=True)
class Counts:
    """What was done."""

    done: int = 0
    bad: int = 0
    skipped: int = 0

    def sentence(self) -> str:
        """One line for the operator."""
        return f"{self.done} pictures classified, {self.bad} could not be read, {self.skipped} were done before."


def classify_files(pictures: Sequence[Path], choice: Choice, kind: str, output: Path | None) -> Counts:
    """Classify `pictures` into `output` (standard output when None); `kind` is "csv" or "jsonl".

    What `output` already holds is not done again.

    Raises:
        OperatorError: `output` was written with another mode or version.
    """
    done = _done_before(output, kind, choice.mode) if output else set()
    waiting = [picture for picture in pictures if str(picture) not in done]
    counts = Counts(skipped=len(pictures) - len(waiting))
    with (
        _writer(output, kind) as write,
        click.progressbar(length=len(waiting), label=choice.mode.key, file=sys.stderr) as bar,
        closing(Batcher(choice.threads)) as batcher,
    ):
        for answer in rows_of(map(str, waiting), choice, batcher):
            write(answer)
            counts.done += answer["error"] is None
            counts.bad += answer["error"] is not None
            if answer["error"]:
                click.echo(f"\n{answer['path']}: {answer['error']}", err=True)
            bar.update(1)
    return counts


def from_disk(path: str) -> Callable[[], bytes]:
    """The `Fetch` of files on this machine."""
    return Path(path).read_bytes


def rows_of(paths: Iterable[str], choice: Choice, batcher: Batcher, fetch: Fetch = from_disk) -> Iterator[Row]:
    """The rows in the paths' order; so many are on their way that no core waits."""
    remaining = iter(paths)
    ahead: deque[tuple[str, Future[Answer]]] = deque()
    while True:
        for path in islice(remaining, _AHEAD * choice.threads - len(ahead)):
            ahead.append((path, batcher.submit(choice.mode, partial(_decode, fetch(path), choice), math.inf)))
        if not ahead:
            return
        yield _row(*ahead.popleft(), choice)


def _decode(read: Callable[[], bytes], choice: Choice) -> Decoded:
    try:
        data = read()
    except OSError as error:
        raise UnreadableImage from error
    return decoded(data, choice.mode, choice.max_pixels)


def _row(path: str, future: "Future[Answer]", choice: Choice) -> Row:
    mode = choice.mode
    row: Row = dict.fromkeys(COLUMNS)
    row.update(path=path, mode=mode.key, version=mode.model.version)
    try:
        row.update(_decided(future.result().opinion, choice))
    except RequestError as error:
        row["error"] = error.code
    return row


def _decided(opinion: Opinion, choice: Choice) -> Row:
    decision = decide(opinion, choice.threshold, choice.top_k)
    labels = choice.mode.labels
    top = [
        {"label": labels[index].label, "label_zh": labels[index].label_zh, "confidence": round(confidence, 6)}
        for index, confidence in decision.top
    ]
    best = {"label": "unknown", "label_zh": "未知类别"} if decision.unknown else top[0]
    return {
        "unknown": decision.unknown,
        "label": best["label"],
        "label_zh": best["label_zh"],
        "confidence": top[0]["confidence"],
        "top": top,
    }


def _done_before(output: Path, kind: str, mode: Mode) -> set[str]:
    """The paths that `output` holds already, after cutting off a last line left half-written by a kill."""
    if not output.exists():
        return set()
    content = output.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with output.open("r+b") as file:
            file.truncate(len(whole))
    lines = whole.decode("utf-8-sig").splitlines()
    rows = [json.loads(line) for line in lines] if kind == "jsonl" else list(csv.DictReader(lines))
    if any((row.get("mode"), row.get("version")) != (mode.key, mode.model.version) for row in rows):
        raise OperatorError(f"{output.name} was written with another mode or version: name another output.")
    return {row["path"] for row in rows}


@contextmanager
def _writer(output: Path | None, kind: str) -> Iterator[Any]:
    """A function that writes one answer at a time, each on the disk's way before the next."""
    is_new = output is None or not output.exists() or output.stat().st_size == 0
    file: IO[str] = output.open("a", encoding="utf-8", newline="") if output else sys.stdout
    table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    if kind == "csv" and is_new:
        table.writeheader()

    def write(answer: Row) -> None:
        if kind == "jsonl":
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")
        else:
            table.writerow({**answer, "top": json.dumps(answer["top"], ensure_ascii=False) if answer["top"] else ""})
        file.flush()

    try:
        yield write
    finally:
        if output:
            file.close()
