"""A mode to show things with: pieces of brick, grass and gravel, cut from scikit-image's free photographs."""

import io
import random
import time
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import APIRequestContext, APIResponse
from skimage import data

MODE = "ground"
CLASSES = {"brick": "砖墙", "grass": "草地", "gravel": "碎石"}
FIRST, PHOTOS = 22, 30
"""So many photos of each class are learned from at first, and in the end."""
WHY = "more photos"
_CORRECTIONS = 9
_WATCHED = 24
_INKS = {
    "brick": ("#2a120c", "#b5674a", "#f3d9c4"),
    "grass": ("#10180a", "#5f7d35", "#e3edb8"),
    "gravel": ("#16171a", "#7d7f86", "#f1efe9"),
}
"""Dark, middle and light: the photographs are grey, and the world is not."""
_TRAINING_S = 900


def photo(label: str, number: int) -> bytes:
    """A JPEG of a piece of ground; another one for each number."""
    generator = random.Random(f"{label} {number}")
    whole = Image.fromarray(np.asarray(getattr(data, label)()))
    side = generator.randint(190, 330)
    left, top = (generator.randint(0, whole.width - side) for _ in range(2))
    piece = whole.crop((left, top, left + side, top + side)).resize((320, 320), Image.Resampling.LANCZOS)
    dark, middle, light = _INKS[label]
    brightness = generator.uniform(0.8, 1.15)
    buffer = io.BytesIO()
    toned = ImageOps.colorize(piece, dark, light, middle).point(lambda value: min(255, int(value * brightness)))
    toned.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def teach(ask: APIRequestContext) -> None:
    """What a person would do: a mode taught from its photos, and corrections that wait for review."""
    said(ask.post("/api/albums", data={"key": MODE, "title_en": "Ground", "title_zh": "地面"}))
    for label, label_zh in CLASSES.items():
        album = said(ask.post(f"/api/albums/{MODE}/classes", data={"label": label, "label_zh": label_zh}))
        _send(ask, label, album["classes"][-1]["id"], range(FIRST))
    wait_for(ask, train(ask))
    _until_served(ask)
    for number in range(PHOTOS, PHOTOS + _CORRECTIONS):
        _correct(ask, list(CLASSES)[number % len(CLASSES)], number)
    for one in said(ask.get(f"/api/albums/{MODE}"))["classes"]:
        _send(ask, one["label"], one["id"], range(FIRST, PHOTOS))
    wait_for(ask, train(ask))
    wait_for(ask, said(ask.post(f"/api/modes/{MODE}/promote", data={"version": "v2", "force": True, "why": WHY})))
    said(
        ask.put(
            f"/api/modes/{MODE}/trial", data={"version": "v1", "kind": "shadow", "why": "to watch them side by side"}
        )
    )
    for number in range(PHOTOS, PHOTOS + _WATCHED):
        label = list(CLASSES)[number % len(CLASSES)]
        said(ask.post("/predict", multipart={"file": _file(label, number), "mode": MODE}))


def train(ask: APIRequestContext) -> Any:  # noqa: ANN401 - a job as JSON
    """Begin a version from the album as it is."""
    return said(ask.post(f"/api/albums/{MODE}/train", data={}))


def wait_for(ask: APIRequestContext, job: Any) -> None:  # noqa: ANN401 - a job as JSON
    """Wait until a job is done.

    Raises:
        RuntimeError: it failed, or takes too long.
    """
    until = time.monotonic() + _TRAINING_S
    while job["state"] == "running" and time.monotonic() < until:
        time.sleep(1)
        job = said(ask.get(f"/api/jobs/{job['id']}"))
    if job["state"] != "done":
        raise RuntimeError(f"the job ended as {job['state']}: {job['error']}")


def _until_served(ask: APIRequestContext) -> None:
    while not any(mode["key"] == MODE and mode["available"] for mode in said(ask.get("/modes"))["modes"]):
        time.sleep(0.5)


def said(reply: APIResponse) -> Any:  # noqa: ANN401 - whatever the server says
    """The answer's JSON.

    Raises:
        RuntimeError: it is a refusal.
    """
    content = reply.json()
    if not reply.ok:
        raise RuntimeError(f"{reply.url}: {content}")
    return content


def _send(ask: APIRequestContext, label: str, class_id: str, numbers: range) -> None:
    for number in numbers:
        said(ask.post(f"/api/albums/{MODE}/classes/{class_id}/photos", multipart={"file": _file(label, number)}))


def _correct(ask: APIRequestContext, label: str, number: int) -> None:
    answer = said(ask.post("/predict", multipart={"file": _file(label, number), "mode": MODE}))
    result = answer["results"][0]
    correction = {
        "request_id": answer["request_id"],
        "mode": MODE,
        "version": answer["model"]["version"],
        "answer": result["label"],
        "confidence": str(result["confidence"]),
        "label": label,
        "keep": "1",
        "file": _file(label, number),
    }
    said(ask.post("/corrections", multipart=correction))


def _file(label: str, number: int) -> dict[str, Any]:
    return {"name": f"{label}-{number:02}.jpg", "mimeType": "image/jpeg", "buffer": photo(label, number)}
