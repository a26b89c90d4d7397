"""The Open Inference Protocol as others speak it: Triton's stock client, and plain curl, against a real gunicorn."""

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import app.vision.transform
from tests.running import ROOT, clean_environment, post, serving

triton = pytest.importorskip("tritonclient.http")
pytestmark = pytest.mark.slow
Refused = pytest.importorskip("tritonclient.utils").InferenceServerException


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with RATE_LIMIT unset, and a small MAX_UPLOAD_MB."""
    with serving(tmp_path_factory.mktemp("models"), MAX_UPLOAD_MB="2") as chosen:
        yield chosen


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as asking:
        yield asking


@pytest.fixture(scope="module")
def pictures(cat: Image.Image, astronaut: Image.Image) -> list[bytes]:
    return [_encoded(cat, "PNG"), _encoded(astronaut, "JPEG")]


def _encoded(image: Image.Image, format_: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_)
    return buffer.getvalue()


def images(*pictures: bytes, is_binary: bool = True) -> Any:
    sent = triton.InferInput("image", [len(pictures)], "BYTES")
    values = pictures if is_binary else [base64.b64encode(picture) for picture in pictures]
    sent.set_data_from_numpy(np.array(values, np.object_), binary_data=is_binary)
    return sent


def pixels(tensor: Any, *, is_binary: bool = True) -> Any:
    sent = triton.InferInput("pixels", list(tensor.shape), "FP32")
    sent.set_data_from_numpy(tensor, binary_data=is_binary)
    return sent


def equal_to_predict(result: Any, port: int, pictures: list[bytes]) -> None:
    """Check that the answers are those of `/predict`, to what that rounds to."""
    answers = [post(port, picture, "?top_k=10")["results"][0] for picture in pictures]
    probabilities = result.as_numpy("probabilities")
    assert probabilities.shape == (len(pictures), 1000)
    assert probabilities.dtype == np.float32
    for row, answer in zip(probabilities, answers, strict=True):
        for guess in answer["top"]:
            assert row[guess["index"]] == pytest.approx(guess["confidence"], abs=1e-6)
    assert result.as_numpy("sureness") == pytest.approx([answer["sureness"] for answer in answers], abs=1e-6)
    assert [label.decode() for label in result.as_numpy("label")] == [answer["label"] for answer in answers]


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("imagenet")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata()["name"] == "wanwu"
    told = client.get_model_metadata("imagenet")
    (version,) = told["versions"]
    assert client.is_model_ready("imagenet", version)
    assert not client.is_model_ready("imagenet", "9")
    assert client.get_model_metadata("imagenet", version) == told


def test_encoded_pictures_behind_the_json(client: Any, port: int, pictures: list[bytes]) -> None:
    result = client.infer("imagenet", [images(*pictures)], request_id="seven")
    equal_to_predict(result, port, pictures)
    assert result.get_response()["id"] == "seven"


def test_encoded_pictures_in_the_json(client: Any, port: int, pictures: list[bytes]) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("probabilities", "sureness", "label")]
    result = client.infer("imagenet", [images(*pictures[1:], is_binary=False)], outputs=outputs)
    told = result.get_response()["outputs"]
    assert all("data" in output for output in told)
    assert told[2]["data"] == [post(port, pictures[1])["results"][0]["label"]]


@pytest.mark.parametrize("is_binary", [True, False])
def test_pixels_made_as_the_metadata_says(
    client: Any, port: int, cat: Image.Image, pictures: list[bytes], is_binary: bool
) -> None:
    told = client.get_model_metadata("imagenet")["inputs"][0]
    transform = app.vision.transform.Transform.model_validate(told["parameters"])
    assert told["shape"][1:] == [3, transform.crop, transform.crop]
    tensor = transform(cat).numpy()[None].copy()
    equal_to_predict(client.infer("imagenet", [pixels(tensor, is_binary=is_binary)]), port, pictures[:1])


def test_the_best_classes_at_a_version_without_waiting(client: Any, port: int, pictures: list[bytes]) -> None:
    (version,) = client.get_model_metadata("imagenet")["versions"]
    wish = [triton.InferRequestedOutput("probabilities", class_count=2), triton.InferRequestedOutput("label")]
    asked = client.async_infer("imagenet", [images(pictures[0])], version, outputs=wish, parameters={"threshold": 0.0})
    result = asked.get_result()
    top = post(port, pictures[0])["results"][0]["top"][:2]
    named = [text.decode().split(":", 2)[1:] for text in result.as_numpy("probabilities")[0]]
    assert named == [[str(guess["index"]), guess["label"]] for guess in top]
    assert result.as_numpy("label")[0].decode() == top[0]["label"]
    assert result.as_numpy("sureness") is None


def test_refusals_reach_the_client_as_sentences(client: Any, pictures: list[bytes]) -> None:
    def refused(status: int, about: str, ask: Any) -> None:
        with pytest.raises(Refused) as caught:
            ask()
        assert (caught.value.status(), about in caught.value.message()) == (str(status), True), caught.value

    bad = np.full((1, 3, 224, 224), np.nan, np.float32)
    refused(404, "no mode called", lambda: client.infer("nothing", [images(pictures[0])]))
    refused(404, "no version called", lambda: client.infer("imagenet", [images(pictures[0])], "9"))
    refused(415, "image[1]: This file is not a picture", lambda: client.infer("imagenet", [images(pictures[0], b"no")]))
    refused(400, "no picture can have", lambda: client.infer("imagenet", [pixels(bad)]))
    refused(400, "FP32 [n, 3, 224, 224]", lambda: client.infer("imagenet", [pixels(bad[:, :, :10])]))
    refused(413, "At most 64 pictures", lambda: client.infer("imagenet", [images(*[b"x"] * 65)]))
    refused(400, "sequences", lambda: client.infer("imagenet", [images(pictures[0])], sequence_id=3))
    refused(415, "Content-Encoding", lambda: client.infer("imagenet", [images(pictures[0])],
                                                          request_compression_algorithm="gzip"))  # fmt: skip
    refused(404, "not offered here", client.get_system_shared_memory_status)
    refused(404, "not offered here", lambda: client.get_model_config("imagenet"))
    assert client.is_server_live()


def curl(*arguments: str) -> tuple[int, dict[str, Any]]:
    command = ["curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}", *arguments]
    told = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    body, _, status = told.rpartition("\n")
    return int(status), json.loads(body)


def test_curl_asks_with_a_few_lines_of_json(port: int, pictures: list[bytes], tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{port}/v2"
    assert curl(f"{base}/health/ready") == (200, {"ready": True})
    data = [base64.b64encode(pictures[1]).decode()]
    sent = {"name": "image", "datatype": "BYTES", "shape": [1], "data": data}
    (tmp_path / "ask.json").write_text(json.dumps({"inputs": [sent], "outputs": [{"name": "label"}]}))
    for headers in ((), ("-H", "Content-Type: application/json")):
        status, told = curl(f"{base}/models/imagenet/infer", *headers, "-d", f"@{tmp_path / 'ask.json'}")
        assert status == 200
        assert told["outputs"][0]["data"] == [post(port, pictures[1])["results"][0]["label"]]
    status, told = curl(f"{base}/models/imagenet/infer", "-d", '{"inputs": []}')
    assert (status, list(told)) == (400, ["error"])
    big = tmp_path / "big"
    big.write_bytes(b"[" * 3_000_000)
    for header in ("Transfer-Encoding: chunked", "Content-Type: application/json"):
        status, told = curl(f"{base}/models/imagenet/infer", "-H", header, "-X", "POST", "-T", str(big))
        assert (status, "2 MB" in told["error"]) == (413, True)


def test_the_document_s_examples_work_as_they_stand(port: int, pictures: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(pictures[0])
    text = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    examples = re.findall(r"```(python|sh)\n(.*?)```", text, re.DOTALL)
    environment = clean_environment() | {"PYTHONPATH": str(ROOT / "clients")}
    told = [
        subprocess.run(
            [sys.executable if language == "python" else "sh", "-c", code], cwd=tmp_path, env=environment,
            capture_output=True, check=True,
        ).stdout.decode()
        for language, code in examples
    ]  # fmt: skip
    assert [language for language, _ in examples] == ["python", "sh", "python"]
    best = post(port, pictures[0], "?threshold=0.3")["results"][0]
    assert told[0].startswith(f"{best['label']} {best['confidence']:.3f}"[:-1])
    assert json.loads(told[1])["outputs"][0]["data"] == [post(port, pictures[0])["results"][0]["label"]]
    assert "level='group'" in told[2]
