"""Damaged pictures by the thousand, through all of `/predict`: `python -m tools.fuzz --count 20000 [FOLDER…]`.

Each is a picture of one of the accepted formats, drawn here or found in FOLDER, with bytes changed, cut out, doubled,
swapped with another's, or set to numbers that programs trip over. A table tells what became of them. It ends with 1
where an answer was no answer (a 5xx, something other than JSON) or took longer than two seconds, or a process grew
beyond 1 GB. The same seed makes the same pictures.
"""

import argparse
import io
import logging
import os
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient
from PIL import Image

from app import create_app
from app.config import Settings
from app.vision.decoders import POOL

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
LONGEST_S = 2.0
MOST_BYTES = 2**30
_EDGES = tuple(
    bytes.fromhex(one) for one in ("00", "ff", "7f", "80", "0000", "ffff", "7fffffff", "ffffffff", "00000001")
)
"""Numbers that programs trip over."""
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = 256
"""Most of what a decoder decides by stands in the first bytes, so half of the changes are made there."""


def seeds(folders: Sequence[Path] = ()) -> list[tuple[str, bytes]]:
    """Sound pictures to damage: drawn ones of each format and of several kinds, and the files in `folders`."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    ramp = np.linspace(0, 255, 97 * 61, dtype=np.uint8).reshape(61, 97)
    images = [Image.fromarray(noise), Image.fromarray(noise[..., :3]), Image.fromarray(ramp)]
    images += [Image.fromarray(noise[..., :3]).convert("P"), Image.fromarray(ramp).convert("1")]
    options: dict[str, list[dict[str, object]]] = {
        "JPEG": [{}, {"progressive": True}, {"exif": _turned(), "subsampling": 0}],
        "PNG": [{}, {"interlace": 1}],
        "WEBP": [{}, {"lossless": True}],
        "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "packbits"}],
    }
    found = []
    for format_ in FORMATS:
        for image in images:
            for option in options.get(format_, [{}]):
                found += [(format_, data) for data in [_saved(image, format_, option)] if data]
    return found + [("file", path.read_bytes()) for folder in folders for path in _files(folder)]


def damaged(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """`data` with one to four changes; `other` may lend a piece."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not changed:
            break
        chance.choice(_CHANGES)(changed, other, chance)
    whole = bytes(changed)
    return sealed(whole) if chance.random() < 0.5 else whole  # noqa: PLR2004


def sealed(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks put right, without which none is looked into; others as they are."""
    if not data.startswith(_PNG):
        return data
    parts, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunk = data[place + 4 : place + 8 + length]
        parts.append(data[place : place + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big"))
        place += 12 + length
    return b"".join(parts)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _saved(image: Image.Image, format_: str, options: dict[str, object]) -> bytes | None:
    buffer = io.BytesIO()
    for one in (image, image.convert("RGB")):
        try:
            one.save(buffer, format_, **options)
        except (OSError, ValueError, KeyError):  # this format has no such pixels
            buffer = io.BytesIO()
        else:
            return buffer.getvalue()
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and 0 < path.stat().st_size < 2**20)


def _place(changed: bytearray, chance: random.Random) -> int:
    return chance.randrange(min(len(changed), _HEAD) if chance.random() < 0.5 else len(changed))  # noqa: PLR2004


def _flip(changed: bytearray, _: bytes, chance: random.Random) -> None:
    changed[_place(changed, chance)] ^= 1 << chance.randrange(8)


def _set(changed: bytearray, _: bytes, chance: random.Random) -> None:
    changed[_place(changed, chance)] = chance.randrange(256)


def _edge(changed: bytearray, _: bytes, chance: random.Random) -> None:
    place, edge = _place(changed, chance), chance.choice(_EDGES)
    edge = edge[::-1] if chance.random() < 0.5 else edge  # noqa: PLR2004
    changed[place : place + len(edge)] = edge


def _cut(changed: bytearray, _: bytes, chance: random.Random) -> None:
    place = _place(changed, chance)
    del changed[place : place + chance.choice((1, 4, 64, 1024))]


def _end(changed: bytearray, _: bytes, chance: random.Random) -> None:
    del changed[_place(changed, chance) :]


def _double(changed: bytearray, _: bytes, chance: random.Random) -> None:
    place = _place(changed, chance)
    piece = changed[place : place + chance.choice((1, 4, 64, 1024))]
    changed[place:place] = piece * chance.choice((1, 2, 50))


def _swap(changed: bytearray, other: bytes, chance: random.Random) -> None:
    place, start = _place(changed, chance), chance.randrange(len(other))
    piece = other[start : start + chance.choice((4, 64, 1024))]
    changed[place : place + len(piece)] = piece


_Change = Callable[[bytearray, bytes, random.Random], None]
_CHANGES: tuple[_Change, ...] = (_flip, _flip, _set, _set, _edge, _edge, _cut, _double, _swap, _end)


@dataclass(slots=True)
class Tally:
    """What became of the pictures: how many of each outcome by format, the longest answer, and what went wrong."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    longest_s: float = 0.0
    longest: str = ""
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        """As a table."""
        columns = sorted({outcome for counter in self.outcomes.values() for outcome in counter})
        lines = [f"{'':8}" + "".join(f"{column:>20}" for column in columns)]
        for format_, counter in self.outcomes.items():
            lines.append(f"{format_:8}" + "".join(f"{counter[column]:>20}" for column in columns))
        return "\n".join([*lines, f"longest answer: {self.longest_s:.2f} s ({self.longest})", *self.wrong])


def pictures(count: int, seed: int, folders: Sequence[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """`count` damaged pictures with the format they had, the formats taking turns."""
    chance = random.Random(seed)
    by_format: dict[str, list[bytes]] = {}
    for format_, data in seeds(folders):
        by_format.setdefault(format_, []).append(data)
    everything = [data for each in by_format.values() for data in each]
    for number in range(count):
        format_ = list(by_format)[number % len(by_format)]
        yield format_, damaged(chance.choice(by_format[format_]), chance.choice(everything), chance)


def fuzz(client: FlaskClient, damaged_pictures: Iterator[tuple[str, bytes]]) -> Tally:
    """Post each to `/predict`."""
    tally = Tally()
    for number, (format_, data) in enumerate(damaged_pictures):
        began = time.perf_counter()
        answer = client.post("/predict", data=data, content_type="image/jpeg")
        content = answer.get_json(silent=True)
        took = time.perf_counter() - began
        if took > tally.longest_s:
            tally.longest_s, tally.longest = took, f"number {number}, {format_}, {len(data)} bytes"
        is_answer = isinstance(content, dict) and ("results" in content or "code" in content)
        outcome = "recognised" if answer.status_code == 200 else (content or {}).get("code", "?")  # noqa: PLR2004
        tally.outcomes.setdefault(format_, Counter())[outcome] += 1
        if answer.status_code >= 500 or not is_answer:  # noqa: PLR2004
            tally.wrong.append(f"number {number} ({format_}, {len(data)} bytes): {answer.status_code}")
    return tally


def _peak_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("folders", nargs="*", type=Path)
    order = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        logging.getLogger("app.access").disabled = True
        app = create_app(Settings(models_dir=Path(scratch)), wait=True)
        tally = fuzz(app.test_client(), pictures(order.count, order.seed, order.folders))
    peaks = [_peak_bytes(process) for process in (os.getpid(), *POOL.processes)]
    print(tally.text())
    print(f"peaks: {', '.join(f'{peak / 2**20:.0f} MB' for peak in peaks)} (the server, then decoders)")
    print(f"decoders lost: {POOL.deaths}")
    sys.exit(bool(tally.wrong) or tally.longest_s > LONGEST_S or max(peaks) > MOST_BYTES)


if __name__ == "__main__":
    main()
