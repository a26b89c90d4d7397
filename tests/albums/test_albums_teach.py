"""Teaching from an album over HTTP: findings, refusals, and from nothing to a mode."""

import io
import json
import sys
import time

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageDraw

from app.registry import jobs
from tests.albums.asking import check, counts, models_of, send
from tests.albums.photos import jpeg
from tests.asking import refused
from tests.test_jobs import ended


def test_findings_come_as_the_page_needs_them(admin: FlaskClient, key: str) -> None:
    send(admin, key, "c1", *(jpeg(seed) for seed in range(3)))
    send(admin, key, "c2", *(jpeg(seed) for seed in range(100, 102)))
    found = admin.get(f"/api/albums/{key}/findings").json
    check(admin, "Findings", found)
    (few,) = found["findings"]
    assert (few["kind"], few["photos"]) == ("too_few", [])
    assert few["zh"].startswith("照片偏少：猫 3 张、狗 2 张。")


def test_training_is_refused_while_something_is_missing(admin: FlaskClient, key: str) -> None:
    told = refused(admin.post(f"/api/albums/{key}/train", json={}), 409, "not_enough")
    assert told.detail == "The class 'cat' has no photos yet: add some, or delete the class."


def test_a_server_without_what_training_needs_says_so(
    admin: FlaskClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert admin.get("/api/albums").json["can_teach"] is False
    told = refused(admin.post(f"/api/albums/{key}/train"), 503, "cannot_teach")
    assert "make teach" in told.detail


def drawn(number: int, seed: int) -> bytes:
    """A photo-like drawing of the thing `number`: its shape and colour, elsewhere and otherwise each time."""
    generator = np.random.default_rng(1000 * number + seed)
    ground = generator.integers(150, 230, (6, 8, 3)).astype(np.uint8)
    image = Image.fromarray(ground).resize((640, 480), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    x, y, r = generator.integers(200, 440), generator.integers(160, 320), generator.integers(90, 150)
    shades = ((200, 40, 40), (40, 150, 60), (40, 70, 190), (230, 180, 30), (90, 50, 110))
    colour = tuple(part + int(generator.integers(-20, 20)) for part in shades[number])
    box = (x - r, y - r, x + r, y + r)
    if number == 0:
        draw.ellipse(box, fill=colour)
    elif number == 1:
        draw.rectangle(box, fill=colour)
    elif number == 2:
        draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=colour)
    elif number == 3:
        draw.ellipse(box, outline=colour, width=30)
    else:
        for step in range(-r, r, 45):
            draw.rectangle((x - r, y + step, x + r, y + step + 20), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


THINGS = (("ball", "球"), ("box", "盒子"), ("tent", "帐篷"), ("ring", "环"), ("ladder", "梯子"))


@pytest.mark.slow
def test_from_nothing_to_a_mode_that_recognises_five_things(registry: Flask, admin: FlaskClient) -> None:
    models = models_of(registry)
    began = time.monotonic()
    key = admin.post("/api/albums", json={"title_en": "Toys", "title_zh": "玩具"}).json["key"]
    for number, (label, label_zh) in enumerate(THINGS):
        admin.post(f"/api/albums/{key}/classes", json={"label": label, "label_zh": label_zh})
        photos = [drawn(number, seed) for seed in range(20)]
        results = send(admin, key, f"c{number + 1}", *photos).json["results"]
        assert all(result["error"] is None for result in results)
    sent = time.monotonic()
    assert admin.get(f"/api/albums/{key}").json["problem"] is None
    assert admin.get(f"/api/albums/{key}/findings").status_code == 200
    removed = admin.get(f"/api/albums/{key}").json["classes"][0]["photos"][0]["id"]
    admin.post(f"/api/albums/{key}/photos/remove", json={"photos": [removed]})
    looked = time.monotonic()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELS_DIR", str(models))
        begun = admin.post(f"/api/albums/{key}/train", json={})
        refused(admin.post(f"/api/albums/{key}/train", json={}), 409, "conflict")
        some = [photo["id"] for photo in admin.get(f"/api/albums/{key}").json["classes"][0]["photos"][:1]]
        for change in (
            admin.post(f"/api/albums/{key}/photos/move", json={"photos": some, "to": "c2"}),
            admin.post(f"/api/albums/{key}/photos/remove", json={"photos": some}),
            admin.delete(f"/api/albums/{key}/classes/c1"),
            admin.delete(f"/api/albums/{key}"),
        ):
            refused(change, 409, "conflict")  # the training reads these files
    assert begun.status_code == 202
    check(admin, "StartedJob", begun.json)
    ended(models, jobs.read_job(models, begun.json["id"]), limit_s=900)  # jobs take what others leave over
    told = admin.get(f"/api/jobs/{begun.json['id']}").json
    took = {"upload": sent - began, "findings": looked - sent, "training": time.monotonic() - looked}
    print({name: round(seconds, 1) for name, seconds in took.items()})
    assert (told["state"], told["kind"], told["result"]["active"]) == ("done", "train", True), told
    assert 10 <= sum(told["result"]["data"]["counts"]["test"]) <= 30
    album = admin.get(f"/api/albums/{key}").json
    assert (album["versions"], album["active"], album["job"]) == (["v1"], "v1", begun.json["id"])
    restored = admin.post(f"/api/albums/{key}/photos/restore", json={"photos": [removed]}).json
    assert counts(restored)["ball"] == 19, "a training makes removing final"
    registry.extensions["recogniser"].manager.refresh()
    for number, (label, label_zh) in enumerate(THINGS):
        form = {"file": (io.BytesIO(drawn(number, 99)), "new.jpg"), "mode": key, "threshold": "0"}
        answer = admin.post("/predict", data=form).json["results"][0]
        assert (answer["label"], answer["label_zh"]) == (label, label_zh)
    history = admin.get(f"/api/modes/{key}/history").json["history"]
    assert history[0]["by"] == "the administrator, from 127.0.0.1"
    title = next(mode for mode in admin.get("/modes").json["modes"] if mode["key"] == key)
    assert "玩具" in json.dumps(title, ensure_ascii=False)
