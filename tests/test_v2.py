"""The Open Inference Protocol without a client of its own: metadata, JSON, bytes behind it, and every refusal."""

import base64
import gc
import gzip
import json
import shutil
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from PIL import Image
from werkzeug.test import TestResponse

from app.registry.state import Trial
from app.serving.arms import Arms, Contender
from app.serving.recogniser import MAX_FILES
from app.vision.transform import Transform
from app.web import v2, v2_request
from tests.asking import post
from tests.conftest import write_head

INFER = "/v2/models/imagenet/infer"
HEADER = "Inference-Header-Content-Length"
BROKEN = b"\xff\xd8\xff\xe0 and then nothing that a JPEG would have"


def image(*pictures: bytes, **members: Any) -> dict[str, Any]:
    data = [base64.b64encode(picture).decode() for picture in pictures]
    return {"name": "image", "datatype": "BYTES", "shape": [len(pictures)], "data": data, **members}


def infer(client: FlaskClient, *inputs: dict[str, Any], **members: Any) -> TestResponse:
    return client.post(INFER, json={"inputs": list(inputs), **members})


def binary(client: FlaskClient, request: Any, behind: bytes, length: object = None) -> TestResponse:
    head = json.dumps(request).encode()
    headers = {HEADER: str(len(head) if length is None else length)}
    return client.post(INFER, data=head + behind, headers=headers)


def outputs(response: TestResponse) -> dict[str, Any]:
    assert response.status_code == 200, response.get_data(as_text=True)
    return {output["name"]: output for output in response.json["outputs"]}


def refused(response: TestResponse, status: int, about: str) -> None:
    """Check that the refusal is the protocol's, one sentence with `about` in it, and says nothing of the inside."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/json"
    assert list(response.json) == ["error"]
    sentence = response.json["error"]
    assert about in sentence
    assert sentence.endswith(".")
    assert not any(inside in sentence for inside in ("Traceback", "/app", "site-packages", "pydantic", "numpy"))


def test_the_server_says_what_it_is(client: FlaskClient) -> None:
    told = client.get("/v2").json
    assert told["name"] == "wanwu"
    assert told["extensions"] == ["binary_tensor_data", "classification"]
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"ready": True}


def test_a_model_says_what_it_takes_and_gives_under_its_version_too(client: FlaskClient) -> None:
    told = client.get("/v2/models/colours").json
    assert (told["name"], told["versions"]) == ("colours", ["v1"])
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["inputs"] + told["outputs"]] == [
        ("pixels", "FP32", [-1, 3, 224, 224]),
        ("image", "BYTES", [-1]),
        ("probabilities", "FP32", [-1, 3]),
        ("sureness", "FP32", [-1]),
        ("label", "BYTES", [-1]),
    ]
    assert told["inputs"][0]["parameters"]["interpolation"] == "bicubic"
    assert client.get("/v2/models/colours/versions/v1").json == told
    assert client.get("/v2/models/colours/ready").json == {"name": "colours", "ready": True}
    assert client.get("/v2/models/colours/versions/v1/ready").status_code == 200


def test_another_version_or_model_is_not_there(client: FlaskClient) -> None:
    for suffix in ("", "/ready"):
        refused(client.get(f"/v2/models/colours/versions/v9{suffix}"), 404, "no version called 'v9'")
        refused(client.get(f"/v2/models/nothing{suffix}"), 404, "no mode called 'nothing'")
    refused(client.post("/v2/models/colours/versions/v9/infer", json={}), 404, "no version called 'v9'")
    refused(client.post("/v2/models/..%2F..%2Fetc/infer", json={}), 404, "not offered here")


def test_what_is_not_offered_says_so_in_the_protocol_s_form(client: FlaskClient) -> None:
    for path in ("/v2/logging", "/v2/models/imagenet/config", "/v2/systemsharedmemory/status", "/v2/nothing"):
        refused(client.get(path), 404, "not offered here")
    refused(client.post("/v2/repository/models/imagenet/unload"), 404, "not offered here")
    refused(client.get(INFER), 405, "does not answer that kind of request")
    refused(client.get("/v2/nothing", headers={"Accept": "text/html"}), 404, "not offered here")
    assert "不提供" in client.get("/v2/nothing", headers={"Accept-Language": "zh"}).json["error"]


def test_a_mode_may_have_a_chinese_key(service: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    recogniser = service.extensions["recogniser"]
    models = service.extensions["settings"].models_dir
    write_head(models, "颜色", recogniser.mode("imagenet"), ["红", "绿"])
    recogniser.manager.refresh()
    try:
        assert client.get("/v2/models/%E9%A2%9C%E8%89%B2").json["name"] == "颜色"
        body = {"inputs": [image(cat_jpeg)], "parameters": {"threshold": 0}}
        answer = client.post("/v2/models/%E9%A2%9C%E8%89%B2/infer", json=body)
        assert outputs(answer)["label"]["data"][0] in ("红", "绿")
    finally:
        shutil.rmtree(models / "颜色")
        recogniser.manager.refresh()


def test_pictures_in_json_are_answered_as_predict_answers_them(
    client: FlaskClient, cat_jpeg: bytes, astronaut: Image.Image, encode: Callable[..., bytes]
) -> None:
    other = encode(astronaut, "PNG")
    response = infer(client, image(cat_jpeg, other), id="my id 1")
    told = outputs(response)
    results = post(client, cat_jpeg, other).json["results"]
    assert response.json["id"] == "my id 1"
    assert response.json["model_name"] == "imagenet"
    assert told["label"]["data"] == [result["label"] for result in results]
    assert told["sureness"]["data"] == pytest.approx([result["sureness"] for result in results], abs=1e-6)
    assert (told["probabilities"]["shape"], told["probabilities"]["datatype"]) == ([2, 1000], "FP32")
    rows = np.array(told["probabilities"]["data"]).reshape(2, 1000)
    for row, result in zip(rows, results, strict=True):
        for guess in result["top"]:
            assert row[guess["index"]] == pytest.approx(guess["confidence"], abs=1e-6)


def test_one_picture_a_row_is_the_same(client: FlaskClient, cat_jpeg: bytes) -> None:
    text = base64.b64encode(cat_jpeg).decode()
    flat, nested = (image(cat_jpeg, shape=[1, 1], data=data) for data in ([text], [[text]]))
    assert outputs(infer(client, flat)) == outputs(infer(client, nested)) == outputs(infer(client, image(cat_jpeg)))


def test_numbers_in_json_flat_or_nested(service: Flask, client: FlaskClient, cat: Image.Image) -> None:
    recogniser = service.extensions["recogniser"]
    tensor = recogniser.mode("imagenet").backbone.transform(cat)
    expected = recogniser.manager.predict(tensor)[0].numpy()
    sent = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 224, 224]}
    for data in (tensor.flatten().tolist(), [tensor.tolist()]):
        told = outputs(infer(client, {**sent, "data": data}, outputs=[{"name": "probabilities"}]))
        assert list(told) == ["probabilities"]
        assert told["probabilities"]["data"] == pytest.approx(expected, abs=1e-6)


def test_the_threshold_and_the_outputs_are_the_caller_s_choice(client: FlaskClient, cat_jpeg: bytes) -> None:
    for threshold, is_known in ((0, True), (1, False)):
        response = infer(client, image(cat_jpeg), parameters={"threshold": threshold}, outputs=[{"name": "label"}])
        (label,) = outputs(response)["label"]["data"]
        assert (label != "unknown") == is_known


def test_the_best_classes_as_strings(client: FlaskClient, cat_jpeg: bytes) -> None:
    wish = {"name": "probabilities", "parameters": {"classification": 2}}
    told = outputs(infer(client, image(cat_jpeg), outputs=[wish]))["probabilities"]
    (result,) = post(client, cat_jpeg).json["results"]
    assert (told["datatype"], told["shape"]) == ("BYTES", [1, 2])
    expected = [f"{guess['confidence']:.6f}:{guess['index']}:{guess['label']}" for guess in result["top"][:2]]
    assert told["data"] == expected
    every = client.post(
        "/v2/models/colours/infer",
        json={"inputs": [image(cat_jpeg)], "outputs": [{"name": "probabilities", "parameters": {"classification": 9}}]},
    )
    assert outputs(every)["probabilities"]["shape"] == [1, 3]


def test_bytes_behind_the_json_both_ways(client: FlaskClient, cat_jpeg: bytes) -> None:
    behind = struct.pack("<I", len(cat_jpeg)) + cat_jpeg
    sent = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(behind)}}
    wishes = [{"name": "label"}, {"name": "sureness", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    request = {"inputs": [sent], "outputs": wishes, "parameters": {"binary_data_output": True, "threshold": 0}}
    response = binary(client, request, behind)
    assert response.mimetype == "application/octet-stream"
    length = int(response.headers[HEADER])
    told = json.loads(response.data[:length])
    label, sureness, probabilities = told["outputs"]
    assert "parameters" not in sureness
    assert len(sureness["data"]) == 1
    cut = length + label["parameters"]["binary_data_size"]
    (size,) = struct.unpack("<I", response.data[length : length + 4])
    assert response.data[length + 4 : cut].decode() == post(client, cat_jpeg, threshold="0").json["results"][0]["label"]
    assert size == cut - length - 4
    assert len(response.data) - cut == probabilities["parameters"]["binary_data_size"] == 4000


def test_a_picture_that_cannot_be_read_fails_the_request_and_is_named(client: FlaskClient, cat_jpeg: bytes) -> None:
    refused(infer(client, image(cat_jpeg, BROKEN)), 422, "image[1]: This picture is damaged")
    refused(infer(client, image(b"no picture")), 415, "not a picture")
    refused(infer(client, image(b"")), 415, "not a picture")


def pixels(**members: Any) -> dict[str, Any]:
    return {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": [0.5] * 150528, **members}


ODD_INPUTS = [
    ([], "inputs"),
    ([image(b"x"), image(b"x")], "inputs"),
    ([image(b"x", name="pictures")], "inputs.0.name"),
    ([image(b"x", datatype="UINT8")], "datatype"),
    ([image(b"x", datatype="FP32")], "BYTES [n]"),
    ([image(b"x", shape=[])], "shape"),
    ([image(b"x", shape=[-1])], "shape"),
    ([image(b"x", shape=["1"])], "shape"),
    ([image(b"x", shape=[True])], "shape"),
    ([image(b"x", shape=[1.0])], "shape"),
    ([image(b"x", shape=[2])], "2 pictures"),
    ([image(b"x", shape=[1, 2])], "BYTES [n]"),
    ([image(shape=[0])], "at least one picture"),
    ([image(b"x", data=None)], "1 pictures as strings of base64"),
    ([image(b"x", data="eA==")], "must be a list"),
    ([image(b"x", data=["no base64!"])], "base64"),
    ([image(b"x", data=["é"])], "base64"),
    ([image(b"x", data=[7])], "base64"),
    ([image(b"x", data=[["eA=="], []], shape=[1, 1])], "base64"),
    ([image(b"x", parameters={"shared_memory_region": "mine"})], "shared memory is not offered"),
    ([image(b"x", parameters={"binary_data_size": -1})], "binary_data_size"),
    ([image(b"x", parameters={"binary_data_size": 5})], "binary_data_size"),
    ([pixels(datatype="BYTES")], "FP32 [n, 3, 224, 224]"),
    ([pixels(shape=[1, 3, 2**31, 2**31])], "FP32 [n, 3, 224, 224]"),
    ([pixels(shape=[1, 224, 224, 3])], "FP32 [n, 3, 224, 224]"),
    ([pixels(shape=[0, 3, 224, 224], data=[])], "at least one picture"),
    ([pixels(shape=[2, 3, 224, 224])], "numbers"),
    ([pixels(data=["0.5"] * 150528)], "numbers"),
    ([pixels(data=[True] * 150528)], "numbers"),
    ([pixels(data=[None] * 150528)], "numbers"),
    ([pixels(data=[{}] * 50176)], "numbers"),
    ([pixels(data=[[[[0] * 224] * 224] * 2 + [[[0] * 223] * 224]])], "numbers"),
    ([pixels(data=[1e39] * 150528)], "no picture can have"),
    ([pixels(data=[10**400] + [0] * 150527)], "no picture can have"),
    ([pixels(data=[255] * 150528)], "no picture can have"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "about"), ODD_INPUTS, ids=lambda value: value if isinstance(value, str) else "")
def test_inputs_that_are_not_as_they_must_be(client: FlaskClient, inputs: list[Any], about: str) -> None:
    refused(infer(client, *inputs), 400, about)


@pytest.mark.parametrize(
    ("members", "about"),
    [
        ({"id": 7}, "'id'"),
        ({"id": "x" * 257}, "'id'"),
        ({"parameters": {"threshold": 2}}, "threshold"),
        ({"parameters": {"threshold": "0.5"}}, "threshold"),
        ({"parameters": {"binary_data_output": 1}}, "true or false"),
        ({"parameters": {"sequence_id": 1}}, "sequences are not offered"),
        ({"parameters": []}, "parameters"),
        ({"outputs": [{"name": "softmax"}]}, "outputs.0.name"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "each once at most"),
        ({"outputs": [{"name": "label"}] * 1000}, "each once at most"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "of 'probabilities' only"),
        ({"outputs": [{"name": "probabilities", "parameters": {"classification": 0}}]}, "classification"),
        ({"outputs": [{"name": "label", "parameters": {"shared_memory_region": "a"}}]}, "shared memory"),
    ],
)
def test_other_members_that_are_not_as_they_must_be(
    client: FlaskClient, cat_jpeg: bytes, members: dict[str, Any], about: str
) -> None:
    refused(infer(client, image(cat_jpeg), **members), 400, about)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'{"inputs": [{"name": "\xff"}]}', b'{"id": "\\ud800", "inputs": []}',
        b"[" * 50_000, b'{"inputs":' * 50_000, b"1" * 5000, '{"inputs": []}'.encode("utf-16"), b"--edge\r\n\r\n",
    ],
)  # fmt: skip
def test_bodies_that_are_not_the_json_they_should_be(client: FlaskClient, body: bytes) -> None:
    for content_type in ("application/json", "multipart/form-data; boundary=edge", "text/plain"):
        assert client.post(INFER, data=body, content_type=content_type).status_code == 400
    refused(client.post(INFER, data=body), 400, "must be")


def test_numbers_that_are_none_are_refused(client: FlaskClient) -> None:
    for number in ("NaN", "Infinity", "-Infinity"):
        body = json.dumps({"inputs": [pixels(data="HERE")]}).replace('"HERE"', f"[{number}{',0' * 150527}]")
        assert client.post(INFER, data=body).status_code == 400
    for number in (np.nan, np.inf, -np.inf, 3e38):
        behind = np.full(150528, number, "<f4").tobytes()
        sent = pixels(parameters={"binary_data_size": len(behind)})
        del sent["data"]
        refused(binary(client, {"inputs": [sent]}, behind), 400, "no picture can have")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999", "9" * 30, "", "²"])
def test_a_header_length_that_lies(client: FlaskClient, length: str) -> None:
    refused(binary(client, {"inputs": []}, b"", length), 400, HEADER)


@pytest.mark.parametrize(
    ("behind", "size"),
    [
        (b"", 0), (b"\x01", 1), (b"\xff\xff\xff\xffabc", 7), (b"\x01\x00\x00\x00a", 9), (b"\x01\x00\x00\x00ab", 6),
        (b"\x01\x00\x00\x00a", None), (b"\x00\x00\x00\x00\x00\x00\x00\x00", 8),
    ],
)  # fmt: skip
def test_bytes_that_do_not_fit_what_the_json_says(client: FlaskClient, behind: bytes, size: int | None) -> None:
    sent = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    assert binary(client, {"inputs": [sent]}, behind).status_code == 400
    numbers = {**sent, "name": "pixels", "datatype": "FP32", "shape": [1, 3, 224, 224]}
    assert binary(client, {"inputs": [numbers]}, behind).status_code == 400


@pytest.mark.parametrize("path", [INFER, "/predict"])
def test_a_refused_upload_is_let_go_at_once(client: FlaskClient, cat_jpeg: bytes, path: str) -> None:
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for some in ([BROKEN], [BROKEN, cat_jpeg]):
            response = post(client, *some) if path == "/predict" else infer(client, image(*some))
            assert response.status_code != 500
        gc.collect()
        kept = {one.f_code.co_name for one in gc.garbage if isinstance(one, FrameType) and "/app/" in str(one.f_code)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert kept == set()


def test_too_many_and_too_much(service: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(infer(client, image(*[b"x"] * (MAX_FILES + 1))), 413, f"At most {MAX_FILES} pictures")
    refused(infer(client, pixels(shape=[2**31, 3, 224, 224])), 413, f"At most {MAX_FILES} pictures")
    refused(client.post(INFER, data=b"[" + b"[]," * v2_request.MAX_LISTS), 400, "smaller")
    refused(client.post(INFER, data=b"[" + b"0," * (v2_request.MAX_VALUES + 1)), 400, "smaller")
    refused(client.post(INFER, data=b'"":0,' * (v2_request.MAX_MEMBERS + 1)), 400, "smaller")
    monkeypatch.setitem(service.config, "MAX_CONTENT_LENGTH", 1000)
    refused(infer(client, image(b"x" * 1000)), 413, "larger than the limit")


def test_compressed_bodies_are_refused(client: FlaskClient, cat_jpeg: bytes) -> None:
    body = gzip.compress(json.dumps({"inputs": [image(cat_jpeg)]}).encode())
    refused(client.post(INFER, data=body, headers={"Content-Encoding": "gzip"}), 415, "without Content-Encoding")


def test_it_stands_at_the_same_door_as_predict(
    service: Flask, client: FlaskClient, cat_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recogniser = service.extensions["recogniser"]
    zeros = pixels(data=[0] * 150528)
    monkeypatch.setattr(recogniser, "_in_flight", 10_000)
    for sent in (image(cat_jpeg), zeros):
        response = infer(client, sent)
        refused(response, 503, "busy")
        assert int(response.headers["Retry-After"]) >= 1
    monkeypatch.setattr(recogniser, "_in_flight", 0)
    monkeypatch.setattr(recogniser, "_settings", recogniser._settings.model_copy(update={"deadline_s": 1e-9}))
    for sent in (image(cat_jpeg), zeros):
        refused(infer(client, sent), 504, "took too long")


def test_rates_and_metrics_count_it(service: Flask, client: FlaskClient, cat_jpeg: bytes) -> None:
    from app.feedback.rates import OwnHits
    from app.web.limits import Limits, parse_many

    def count() -> float:
        lines = client.get("/metrics").get_data(as_text=True).splitlines()
        wanted = [line for line in lines if line.startswith('wanwu_pictures_total{code="",mode="imagenet"')]
        return sum(float(line.split()[-1]) for line in wanted if 'outcome="unknown"' in line)

    before = count()
    infer(client, image(cat_jpeg, cat_jpeg), parameters={"threshold": 1})
    assert count() == before + 2
    kept = service.extensions["rate_limits"]
    service.extensions["rate_limits"] = Limits(parse_many("1/hour"), OwnHits())
    try:
        answers = [infer(client, image(cat_jpeg)) for _ in range(2)]
    finally:
        service.extensions["rate_limits"] = kept
    refused(answers[-1], 429, "Too many requests")
    assert "Retry-After" in answers[-1].headers


def test_real_answers_fit_their_description(client: FlaskClient, cat_jpeg: bytes) -> None:
    document = client.get("/openapi.json").json
    example = document["components"]["schemas"]["InferRequest"]["examples"][0]
    for body, name in (
        (client.get("/v2").json, "ServerMetadata"),
        (client.get("/v2/health/live").json, "ServerLive"),
        (client.get("/v2/health/ready").json, "ServerReady"),
        (client.get("/v2/models/imagenet/ready").json, "ModelReady"),
        (client.get("/v2/models/imagenet").json, "ModelMetadata"),
        (infer(client, image(cat_jpeg)).json, "InferAnswer"),
        (client.post(INFER, json=example).json, "InferAnswer"),
        (infer(client).json, "InferError"),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(body)


def test_a_tensor_goes_to_no_version_on_trial_that_takes_other_pixels(service: Flask) -> None:
    mode = service.extensions["recogniser"].mode("imagenet")
    plan = Trial(version="v2", kind="split", share=1.0, since=datetime.now(UTC))
    other = SimpleNamespace(backbone=SimpleNamespace(transform=Transform(resize=300)))
    alike = Arms(mode, Contender(mode, plan))
    assert v2._that_take_the_same_tensor(alike) is alike
    assert v2._that_take_the_same_tensor(Arms(mode, Contender(other, plan))).contender is None
