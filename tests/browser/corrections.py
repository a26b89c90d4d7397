"""Corrections as people send them, and what a reviewer sees of them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from PIL import Image
from playwright.sync_api import Locator, Page

from app.feedback.retention import delete_everything
from app.feedback.review import find


def correct(app: Flask, pictures: Sequence[Path], labels: Sequence[str | None], *, mode: str = "fruit") -> list[str]:
    """One correction of a real answer for each label, with its picture in turn, through `/corrections`; their ids.

    None stands for "none of these". Without `pictures` none is kept.
    """
    client = app.test_client()
    return [
        _send(client, (pictures or [None])[place % max(1, len(pictures))], label, mode)
        for place, label in enumerate(labels)
    ]


def _send(client: Any, picture: Path | None, label: str | None, mode: str) -> str:
    content = picture.read_bytes() if picture else None
    asked = client.post("/predict", data={"mode": mode, "file": (io.BytesIO(content or _DOT), "photo.jpg")}).json
    (result,) = asked["results"]
    fields = {
        "request_id": asked["request_id"], "mode": mode, "version": asked["model"]["version"],
        "answer": result["label"], "confidence": result["top"][0]["confidence"],
    }  # fmt: skip
    fields |= {"kind": "none"} if label is None else {"label": label}
    if content:
        fields |= {"keep": "1", "file": (io.BytesIO(content), "photo.jpg")}
    saved = client.post("/corrections", data=fields)
    assert saved.status_code == 200, saved.text
    return str(saved.json["id"])


def forget_corrections(app: Flask) -> None:
    """Begin with an empty queue."""
    delete_everything(app.extensions["database"], app.extensions["settings"].models_dir)


def entries(page: Page) -> Locator:
    """The cards that have not left."""
    return page.locator(".entry:not([inert])")


def names(page: Page) -> list[str]:
    """What is right, card by card."""
    return entries(page).locator(".entry-name").all_inner_texts()


def at(page: Page, place: int) -> Locator:
    """The cell of an entry, the part that takes the focus."""
    return entries(page).nth(place).locator(".entry-cell")


def status_of(app: Flask, correction_id: str) -> tuple[str, str | None]:
    """A correction's status and what it was accepted as."""
    row = find(app.extensions["database"], correction_id)
    return row.status, row.final_label


def draw(path: Path, seed: int) -> Path:
    """A picture unlike that of any other seed."""
    colours = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(colours).resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def _dot() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (120, 40, 40)).save(buffer, "PNG")
    return buffer.getvalue()


_DOT = _dot()
