"""Help for the tests that add a class to a mode: drawn photos of colours, and a mode taught from some of them."""

import io
from pathlib import Path

import torch
from PIL import Image

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "yellow": (220, 210, 20)}


def photo(colour: str, number: int) -> bytes:
    """A drawn photo of that colour as PNG; no two are alike."""
    generator = torch.Generator().manual_seed(1000 * sorted(COLOURS).index(colour) + number)
    picture = Image.new("RGB", (90, 80), COLOURS[colour])
    noise = (torch.rand(9, 8, 3, generator=generator) * 255).byte().numpy()
    picture.paste(Image.fromarray(noise).resize((36, 40)), (number * 3 % 50, number * 7 % 40))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def draw(folder: Path, colour: str, numbers: range) -> list[Path]:
    """Photos of that colour as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in numbers]
    for path, number in zip(paths, numbers, strict=True):
        path.write_bytes(photo(colour, number))
    return paths
