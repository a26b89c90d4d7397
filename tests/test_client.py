"""The Python client of one file, over real HTTP: its answers, its errors, and its patience."""

import ast
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from flask import Flask
from PIL import Image
from pydantic import SecretStr
from werkzeug.serving import make_server

from clients import wanwu
from clients.wanwu import Client, Failure, Result, WanwuError

FILE = Path(wanwu.__file__)


@pytest.fixture
def client(service: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    settings = service.extensions["settings"].model_copy(update={"admin_token": SecretStr("secret")})
    monkeypatch.setitem(service.extensions, "settings", settings)
    with serving(make_server("127.0.0.1", 0, service, threaded=True)) as port:
        yield Client(f"http://127.0.0.1:{port}/")


@contextmanager
def serving(server: HTTPServer) -> Iterator[int]:
    """The port of a server that answers in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Scripted(HTTPServer):
    """Answers what it is told to, one after the other; remembers what was asked."""

    answers: list[tuple[int, dict[str, str], bytes]]
    asked: list[dict[str, str]]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    class Handler(BaseHTTPRequestHandler):
        server: Scripted

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.asked.append(dict(self.headers))
            status, headers, body = self.server.answers.pop(0)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = Scripted(("127.0.0.1", 0), Handler)
    server.answers, server.asked = [], []
    with serving(server):
        yield server


def told(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps({"code": code, "detail": f"It is {code}."}).encode()


def test_a_path_bytes_and_an_open_file_are_answered_alike(client: Client, cat_jpeg: bytes, tmp_path: Path) -> None:
    path = tmp_path / '我的 "猫".jpg'
    path.write_bytes(cat_jpeg)
    with path.open("rb") as file:
        predictions = [client.predict(one) for one in (path, str(path), file, cat_jpeg, io.BytesIO(cat_jpeg))]
    results = [prediction.result for prediction in predictions]
    assert [result.filename for result in results] == [path.name] * 3 + ["picture"] * 2
    assert len({(result.label, result.confidence, result.top) for result in results}) == 1
    first = predictions[0]
    assert (first.mode, first.model.name, len(first.request_id)) == ("imagenet", "efficientnet_lite0", 32)
    assert (results[0].width, results[0].height, len(results[0].top)) == (451, 300, 3)
    assert first.raw["results"][0]["top"][0]["label"] == results[0].top[0].label


def test_the_parameters_reach_the_server(client: Client, cat_jpeg: bytes) -> None:
    result = client.predict(cat_jpeg, mode="imagenet", threshold=0.6, top_k=2, lang="zh", groups=True).result
    assert (result.label, result.level, len(result.top)) == ("cat", "group", 2)
    assert client.predict(cat_jpeg, threshold=1).result.unknown
    with pytest.raises(WanwuError, match="没有名为") as caught:
        client.predict(cat_jpeg, mode="nothing", lang="zh")
    assert (caught.value.code, caught.value.status) == ("unknown_mode", 404)


def test_of_several_pictures_a_bad_one_fails_alone(client: Client, cat: Image.Image, cat_jpeg: bytes) -> None:
    good, bad = client.predict([cat_jpeg, b"no picture"]).results
    assert isinstance(good, Result)
    assert isinstance(bad, Failure)
    assert bad.code == "unsupported_format"
    with pytest.raises(WanwuError) as caught:
        client.predict(b"no picture")
    assert (caught.value.code, caught.value.status) == ("unsupported_format", 415)


def test_modes_and_readiness(client: Client) -> None:
    first = client.modes()[0]
    assert (first.key, first.available, len(first.labels)) == ("imagenet", True, 1000)
    assert client.ready()


def test_an_answer_is_corrected_and_the_correction_taken_back(client: Client, cat_jpeg: bytes) -> None:
    prediction = client.predict(cat_jpeg)
    for label in ("tabby", "my own cat", None):
        client.undo(client.correct(prediction, label))
    with pytest.raises(WanwuError) as caught:
        client.undo("nothing")
    assert caught.value.code == "not_found"


def test_the_token_opens_what_is_the_administrator_s(client: Client) -> None:
    with pytest.raises(WanwuError) as caught:
        client.api("GET", "/api/modes")
    assert (caught.value.code, caught.value.status) == ("forbidden", 403)
    assert Client(client._url, token="secret").api("GET", "/api/modes").keys() == {"modes"}


def test_while_the_server_is_busy_it_is_asked_again_but_not_for_ever(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(wanwu.time, "sleep", waited.append)
    client = Client(f"http://127.0.0.1:{scripted.server_port}", retries=2)
    busy = [told(503, "busy", **{"Retry-After": after}) for after in ("3", "600", "7")]
    scripted.answers = [*busy[:2], (200, {}, b'{"modes": []}')]
    assert client.modes() == []
    scripted.answers = list(busy)
    with pytest.raises(WanwuError) as caught:
        client.modes()
    assert (caught.value.code, caught.value.retry_after) == ("busy", 7)
    assert waited == [3, wanwu.LONGEST_WAIT_S] * 2


def test_other_refusals_are_not_repeated(scripted: Scripted) -> None:
    client = Client(f"http://127.0.0.1:{scripted.server_port}")
    scripted.answers = [told(429, "rate_limited", **{"Retry-After": "9"})]
    with pytest.raises(WanwuError) as caught:
        client.modes()
    assert (caught.value.code, caught.value.status, caught.value.retry_after) == ("rate_limited", 429, 9)
    scripted.answers = [told(503, "not_ready")]
    assert not client.ready()


def test_what_is_no_wanwu_is_told_and_no_redirect_is_followed(scripted: Scripted) -> None:
    client = Client(f"http://127.0.0.1:{scripted.server_port}", token="secret")
    away = {"Location": "/elsewhere"}
    for answer in ((200, {}, b"<html>"), (200, {}, b"[]"), (302, away, b""), (500, {}, b"[]"), (502, {}, b"<html>")):
        scripted.answers = [answer]
        with pytest.raises(WanwuError) as caught:
            client.modes()
        assert (caught.value.code, caught.value.status) == ("no_wanwu", answer[0])
    assert len(scripted.asked) == 5
    assert {asked["Authorization"] for asked in scripted.asked} == {"Bearer secret"}


def test_where_no_server_is_the_error_is_wanwu_s_own(tmp_path: Path) -> None:
    from tests.running import free_port

    client = Client(f"http://127.0.0.1:{free_port()}")
    assert not client.ready()
    with pytest.raises(WanwuError) as caught:
        client.modes()
    assert (caught.value.code, caught.value.status) == ("unreachable", 0)
    with pytest.raises(FileNotFoundError):
        client.predict(tmp_path / "nothing.jpg")
    with pytest.raises(ValueError, match="http"):
        Client("file:///etc/passwd")


def test_it_is_one_file_for_python_3_9_and_nothing_else() -> None:
    import sys

    tree = ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 9))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names
    assert FILE.read_text(encoding="utf-8").count("\n") < 300
