"""`explain=1`: where the network looked, whatever mode and precision serve, at no cost to those who do not ask."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from torch.nn import functional

from app import create_app
from app.config import Settings
from app.errors import Busy, CallerGone, DeadlineExceeded
from app.registry.manifest import BackboneReference, Manifest, ManifestLabel, Title
from app.registry.versions import write_version
from app.serving import explanation
from app.serving.explanation import Explainer, NotExplained
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.vision.networks import transform_of
from app.web.schemas import Prediction
from tests.asking import post, refused
from tests.conftest import write_head
from tests.trying import write_tuned


def recogniser_of(app: Flask) -> Recogniser:
    recogniser: Recogniser = app.extensions["recogniser"]
    return recogniser


def later() -> float:
    return time.perf_counter() + 30


@pytest.fixture
def fresh() -> Iterator[Explainer]:
    explainer = Explainer()
    yield explainer
    explainer.close()


@pytest.fixture
def picture(service: Flask, cat: Image.Image) -> torch.Tensor:
    return recogniser_of(service).mode("imagenet").backbone.transform(cat)


def test_each_guess_has_a_map_over_the_crop(client: FlaskClient, cat_jpeg: bytes) -> None:
    body = post(client, cat_jpeg, explain="1", top_k="4").json
    Prediction.model_validate(body)
    result = body["results"][0]
    told = result["explanation"]
    assert [one["index"] for one in told["maps"]] == [guess["index"] for guess in result["top"]]
    for one in told["maps"]:
        assert [len(row) for row in one["rows"]] == [7] * 7
        assert max(map(max, one["rows"])) == 255
    across, down = 224 / int(256 * 451 / 300), 224 / 256  # of 451 x 300, resized so that the shorter side is 256
    assert told["region"] == pytest.approx(
        {"x": (1 - across) / 2, "y": (1 - down) / 2, "width": across, "height": down}, abs=0.002
    )


def test_an_answer_with_maps_fits_its_description(client: FlaskClient, cat_jpeg: bytes) -> None:
    from jsonschema import Draft202012Validator

    document = client.get("/openapi.json").json
    schema = {"$ref": "#/components/schemas/Prediction", "components": document["components"]}
    Draft202012Validator(schema).validate(post(client, cat_jpeg, explain="1").json)
    Draft202012Validator(schema).validate(post(client, cat_jpeg).json)
    assert any(field["name"] == "explain" for field in document["paths"]["/predict"]["post"]["parameters"])


@pytest.mark.parametrize("explain", ["", "0", None])
def test_who_does_not_ask_gets_none(client: FlaskClient, cat_jpeg: bytes, explain: str | None) -> None:
    fields = {} if explain is None else {"explain": explain}
    response = post(client, cat_jpeg, **fields)
    if explain == "":
        refused(response, 400, "bad_parameter")
    else:
        assert "explanation" not in response.json["results"][0]


def test_among_several_pictures_each_has_its_own_and_a_bad_one_its_error(
    client: FlaskClient, cat_jpeg: bytes, astronaut: Image.Image, encode: Callable[..., bytes]
) -> None:
    results = post(client, cat_jpeg, b"no picture", encode(astronaut), explain="1").json["results"]
    assert results[1]["error"]["code"] == "unsupported_format"
    assert results[0]["explanation"]["region"] != results[2]["explanation"]["region"]
    assert results[0]["explanation"] == post(client, cat_jpeg, explain="1").json["results"][0]["explanation"]


def test_the_kept_thing_is_where_the_cat_is(
    client: FlaskClient, cat: Image.Image, encode: Callable[..., bytes]
) -> None:
    canvas = Image.new("RGB", (512, 512), (128, 128, 128))
    canvas.paste(cat.crop((80, 0, 380, 300)).resize((200, 200)), (268, 44))
    told = post(client, encode(canvas), explain="1", top_k="1").json["results"][0]["explanation"]
    heat = torch.tensor(told["maps"][0]["rows"])
    assert heat[:4, 3:].sum() / heat.sum() > 0.8, "upper right"


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_whatever_precision_serves_the_maps_are_float32_s(
    precision: str, client: FlaskClient, cat_jpeg: bytes, tmp_path: Path
) -> None:
    app = create_app(Settings(models_dir=tmp_path, precision=precision), wait=True)
    try:
        asked = {"explain": "1", "top_k": "1"}
        lower = post(app.test_client(), cat_jpeg, **asked).json["results"][0]
        usual = post(client, cat_jpeg, **asked).json["results"][0]
        if lower["top"][0]["index"] == usual["top"][0]["index"]:
            assert lower["explanation"] == usual["explanation"]
        assert max(map(max, lower["explanation"]["maps"][0]["rows"])) == 255
    finally:
        recogniser_of(app).close()
        app.extensions["database"].close()


def test_a_head_photos_by_heart_a_tuned_network_and_a_plain_checkpoint_have_maps(
    toy_weights: Path, cat_jpeg: bytes, cat: Image.Image, tmp_path: Path
) -> None:
    app = create_app(Settings(models_dir=tmp_path, resnet18_weights=toy_weights), wait=True)
    try:
        recogniser, client = recogniser_of(app), app.test_client()
        base = recogniser.mode("imagenet")
        write_head(tmp_path, "colours", base, ["red", "green", "blue"])
        write_by_heart(tmp_path, base, cat)
        write_tuned(tmp_path, base, "v1", ("owl", "kite"))
        torch.save({**torch.load(toy_weights, weights_only=True), "fc.bias": torch.ones(1000)}, tmp_path / "whole.pth")
        (tmp_path / "whole.txt").write_text("\n".join(f"class {number}" for number in range(1000)))
        recogniser.manager.refresh()
        assert {mode.key for mode in recogniser.modes()} == {"imagenet", "colours", "learned", "birds", "whole"}
        for mode in recogniser.modes():
            result = post(client, cat_jpeg, mode=mode.key, explain="1").json["results"][0]
            maps = result["explanation"]["maps"]
            assert len(maps) == len(result["top"]), mode.key
            assert max(max(map(max, one["rows"])) for one in maps) == 255, mode.key
    finally:
        recogniser_of(app).close()
        app.extensions["database"].close()


def write_by_heart(models: Path, base: Mode, cat: Image.Image) -> None:
    """Write the mode `learned`: two pictures by heart."""
    pictures = [cat.crop((0, 0, 300, 300)), cat.crop((150, 0, 451, 300))]
    batch = torch.stack([base.backbone.transform(picture) for picture in pictures])
    manifest = Manifest(
        mode="learned",
        version="v1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        title=Title(en="Learned", zh="记住的"),
        labels=[ManifestLabel(label="left"), ManifestLabel(label="right")],
        backbone=BackboneReference(name=base.backbone.name, fingerprint=base.backbone.fingerprint),
        transform=base.backbone.transform,
        head="neighbours",
        neighbours=1,
        threshold=0.5,
    )
    features = functional.normalize(base.backbone.features(batch), dim=1)
    write_version(models, manifest, {"neighbours": features, "labels": torch.arange(2)})


def test_nothing_is_read_and_no_thread_begins_before_the_first_question(
    fresh: Explainer, service: Flask, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {thread.name for thread in threading.enumerate()}
    mode = recogniser_of(service).mode("imagenet")
    reads: list[str] = []
    again = mode.backbone.read_again
    assert again is not None
    monkeypatch.setattr(mode.backbone, "read_again", lambda: reads.append("read") or again())
    assert {thread.name for thread in threading.enumerate()} == before
    colours = recogniser_of(service).mode("colours")
    for asked in (mode, mode, colours):
        fresh.explain(asked, picture, [0], later(), lambda: True)
    assert reads == ["read"], "once for a backbone, whichever mode asks"


def test_only_so_many_networks_are_kept(
    fresh: Explainer, service: Flask, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation, "KEPT", 1)
    monkeypatch.setattr(explanation, "fingerprint", lambda state: backbone.fingerprint)
    backbone = recogniser_of(service).mode("imagenet").backbone
    for name in ("one", "two"):
        monkeypatch.setattr(backbone, "fingerprint", name)
        fresh.explain(recogniser_of(service).mode("imagenet"), picture, [0], later(), lambda: True)
    assert list(fresh._networks) == ["two"]


def test_many_ask_at_once_and_each_gets_its_own(fresh: Explainer, service: Flask, picture: torch.Tensor) -> None:
    mode = recogniser_of(service).mode("imagenet")
    alone = {index: fresh.explain(mode, picture, [index], later(), lambda: True) for index in range(281, 285)}
    together: dict[int, torch.Tensor] = {}

    def ask(index: int) -> None:
        together[index] = fresh.explain(mode, picture, [index], later(), lambda: True)

    threads = [threading.Thread(target=ask, args=(index,)) for index in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(together[index], alone[index]) for index in alone)


def test_who_waits_too_long_or_has_gone_is_told_so(fresh: Explainer, service: Flask, picture: torch.Tensor) -> None:
    mode = recogniser_of(service).mode("imagenet")
    with pytest.raises(DeadlineExceeded):
        fresh.explain(mode, picture, [0], time.perf_counter() - 1, lambda: True)
    with pytest.raises(CallerGone):
        fresh.explain(mode, picture, [0], later(), lambda: False)


def test_while_a_network_is_taken_apart_an_explanation_waits(
    fresh: Explainer, service: Flask, picture: torch.Tensor
) -> None:
    mode = recogniser_of(service).mode("imagenet")
    with explanation.taking_apart, pytest.raises(DeadlineExceeded):
        fresh.explain(mode, picture, [0], time.perf_counter() + 0.2, lambda: True)
    fresh.explain(mode, picture, [0], later(), lambda: True)


def test_weights_that_are_gone_are_said_to_be(
    client: FlaskClient, cat_jpeg: bytes, service: Flask, fresh: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recogniser = recogniser_of(service)

    def gone() -> torch.nn.Module:
        raise FileNotFoundError

    monkeypatch.setattr(recogniser, "_explainer", fresh)
    monkeypatch.setattr(recogniser.mode("imagenet").backbone, "read_again", gone)
    problem = refused(post(client, cat_jpeg, explain="1"), 503, NotExplained.code)
    assert "no longer" in problem.detail
    assert post(client, cat_jpeg).status_code == 200, "recognition goes on"


def test_an_explanation_is_counted_among_what_is_inside(
    service: Flask, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    recogniser = recogniser_of(service)
    mode = recogniser.mode("imagenet")
    seen: list[int] = []
    recogniser.explain(mode, [(picture, [0])], lambda: not seen.append(recogniser.in_flight))
    assert seen == [1]
    assert recogniser.in_flight == 0
    monkeypatch.setattr(recogniser, "_in_flight", recogniser._settings.max_queue)
    with pytest.raises(Busy):
        recogniser.explain(mode, [(picture, [0])])


def test_the_crop_of_every_network_on_offer_is_square() -> None:
    for name in ("resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "efficientnet_lite0", "resnet50"):
        x, y, width, height = transform_of(name).region(400, 300)
        assert width * 400 == pytest.approx(height * 300, rel=0.01)
        assert x > y > 0
