"""A client of Wanwu 万物识别: copy this one file into your project. Python 3.9 or later, and nothing else.

from wanwu import Client

client = Client("http://127.0.0.1:8000")
prediction = client.predict("cat.jpg", top_k=5)
print(prediction.result.label, prediction.result.confidence)
for result in client.predict(["cat.jpg", "dog.jpg"]).results:
    print(result)
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Union, cast

Picture = Union[str, "os.PathLike[str]", bytes, BinaryIO]
"""A path, the bytes of a picture, or an open file."""

LONGEST_WAIT_S = 10.0
"""The longest pause between two tries, whatever a busy server asks for."""


class WanwuError(Exception):
    """What the server refused, or why it could not be asked.

    `code`: stable, such as "unknown_mode" or "busy"; "unreachable" where no server answered, "no_wanwu" where what
    answered is none. `status`: of HTTP, 0 where there is none. `detail`: a sentence for people. `retry_after`: seconds.
    """

    def __init__(self, code: str, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True)
class Model:
    """Which model answered."""

    name: str
    version: str
    sha256: str
    precision: str


@dataclass(frozen=True)
class Guess:
    """One class that the model saw, with its confidence from 0 to 1."""

    index: int
    label: str
    label_zh: str
    confidence: float


@dataclass(frozen=True)
class Result:
    """One picture's answer. Where the mode is less sure than the threshold, `unknown` is true, `label` is "unknown",
    and `top` still lists what it saw. `level` is "class", or "group" where groups were asked for and one is named."""

    filename: str | None
    unknown: bool
    label: str
    label_zh: str
    confidence: float
    sureness: float
    top: tuple[Guess, ...]
    width: int
    height: int
    level: str | None = None


@dataclass(frozen=True)
class Failure:
    """A picture that could not be read, among others that were."""

    filename: str | None
    code: str
    detail: str


@dataclass(frozen=True)
class Prediction:
    """The answer to one request: a result for each picture, in order. `raw`: all that the server said."""

    request_id: str
    mode: str
    threshold: float
    model: Model
    results: tuple[Result | Failure, ...]
    raw: Mapping[str, Any]

    @property
    def result(self) -> Result:
        """The first picture's answer. Raises WanwuError: it could not be read."""
        first = self.results[0]
        if isinstance(first, Failure):
            raise WanwuError(first.code, 200, first.detail)
        return first


@dataclass(frozen=True)
class Mode:
    """A mode that can be asked, or the `reason` why it cannot."""

    key: str
    available: bool
    title: str
    title_zh: str
    labels: tuple[str, ...]
    threshold: float | None
    reason: str | None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Pictures and tokens go to the server that was named, and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


class Client:
    """One server. It holds no connection open, and threads may share it.

    `url`: as in a browser. `token`: the administrator's, for `api`; it is sent with every request. `timeout`: seconds
    for one try. `retries`: how often to ask again while the server is busy, waiting as long as it says, at most
    `LONGEST_WAIT_S` each time.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 30.0, retries: int = 3) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("the server's url must begin with http:// or https://")
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._retries = retries
        self._opener = urllib.request.build_opener(_NoRedirect)

    def predict(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        mode: str | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        lang: str | None = None,
        groups: bool = False,
    ) -> Prediction:
        """Recognise one picture, or several in one request; what is left out is as the server has it.

        Raises:
            WanwuError: the request was refused, or a single picture cannot be read. OSError: a file cannot be read.
        """
        several = cast("Sequence[Picture]", pictures if isinstance(pictures, (list, tuple)) else [pictures])
        fields = {"mode": mode, "threshold": threshold, "top_k": top_k, "lang": lang, "groups": "1" if groups else None}
        body, content_type = _form({name: str(value) for name, value in fields.items() if value is not None}, several)
        return _prediction(self._ask("POST", "/predict", body, content_type))

    def modes(self) -> list[Mode]:
        """What can be asked, the default first. Raises WanwuError."""
        return [_mode(told) for told in self._ask("GET", "/modes")["modes"]]

    def ready(self) -> bool:
        """Whether the server is there, and its models are loaded."""
        try:
            self._ask("GET", "/readyz")
        except WanwuError:
            return False
        return True

    def correct(self, prediction: Prediction, label: str | None, place: int = 0) -> str:
        """Say what the picture at `place` of an answer really shows: a label, a new name, or None for none of these.

        Returns the correction's id; `undo` takes it. Raises WanwuError: it was not stored.
        """
        result = prediction.results[place]
        if isinstance(result, Failure):
            raise TypeError("a picture that could not be read has no answer to correct")
        said = {
            "request_id": prediction.request_id, "place": place, "mode": prediction.mode,
            "version": prediction.model.version, "answer": result.label, "confidence": result.confidence,
            "sureness": result.sureness, "label": label, "kind": "none" if label is None else None,
        }  # fmt: skip
        return str(self.api("POST", "/corrections", said)["id"])

    def undo(self, correction: str) -> None:
        """Take a correction back. Raises WanwuError: there is none of that id."""
        self.api("POST", f"/corrections/{urllib.parse.quote(correction, safe='')}/undo", {})

    def api(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Anything else that `/openapi.json` lists, as JSON: `client.api("GET", "/api/modes")`. Raises WanwuError."""
        return self._ask(method, path, None if body is None else json.dumps(body).encode(), "application/json")

    def _ask(self, method: str, path: str, body: bytes | None = None, content_type: str | None = None) -> Any:  # noqa: ANN401
        token = f"Bearer {self._token}" if self._token else None
        wished = {"Accept": "application/json", "Content-Type": content_type, "Authorization": token}
        headers = {name: value for name, value in wished.items() if value}
        left = self._retries
        while True:
            try:
                return self._once(urllib.request.Request(self._url + path, body, headers, method=method))
            except WanwuError as error:
                if error.code != "busy" or left <= 0:
                    raise
                left -= 1
                time.sleep(min(error.retry_after or 1.0, LONGEST_WAIT_S))

    def _once(self, request: urllib.request.Request) -> Any:  # noqa: ANN401
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise WanwuError("unreachable", 0, f"No server answered: {error}") from error
        try:
            told = json.loads(content)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise WanwuError("no_wanwu", 200, "What answered at this address is not Wanwu.")
        return told


def _refusal(error: urllib.error.HTTPError) -> WanwuError:
    wait = error.headers.get("Retry-After", "")
    retry_after = float(wait) if wait.isdigit() else None
    try:
        told = json.loads(error.read())
        return WanwuError(str(told["code"]), error.code, str(told["detail"]), retry_after)
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        detail = f"The server answered {error.code} {error.reason}, not in Wanwu's words."
        return WanwuError("no_wanwu", error.code, detail, retry_after)


def _form(fields: Mapping[str, str], pictures: Sequence[Picture]) -> tuple[bytes, str]:
    """A body of `multipart/form-data`, and its type."""
    boundary = uuid.uuid4().hex
    pieces: list[bytes] = []
    for name, value in fields.items():
        pieces.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for picture in pictures:
        name, data = _read(picture)
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
        pieces += [head.encode("utf-8", "replace"), data, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _read(picture: Picture) -> tuple[str, bytes]:
    """A picture's name, for the answer, and its bytes."""
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return "picture", bytes(picture)
    if isinstance(picture, (str, os.PathLike)):
        with open(picture, "rb") as file:  # noqa: PTH123 - one file, and no pathlib for it
            return os.path.basename(os.fspath(picture)), file.read()  # noqa: PTH119
    name = getattr(picture, "name", None)  # a number, where the file was opened by one
    return os.path.basename(name) if isinstance(name, str) else "picture", picture.read()  # noqa: PTH119


def _prediction(told: Mapping[str, Any]) -> Prediction:
    model = Model(**{name: told["model"][name] for name in ("name", "version", "sha256", "precision")})
    results = tuple(_result(one) for one in told["results"])
    return Prediction(told["request_id"], told["mode"], told["threshold"], model, results, told)


def _result(told: Mapping[str, Any]) -> Result | Failure:
    if "error" in told:
        return Failure(told["filename"], told["error"]["code"], told["error"]["detail"])
    top = tuple(Guess(one["index"], one["label"], one["label_zh"], one["confidence"]) for one in told["top"])
    names = ("filename", "unknown", "label", "label_zh", "confidence", "sureness")
    image = told["image"]
    return Result(
        **{name: told[name] for name in names}, top=top, width=image["width"], height=image["height"],
        level=told.get("level"),
    )  # fmt: skip


def _mode(told: Mapping[str, Any]) -> Mode:
    title = told.get("title") or {"en": told["key"], "zh": told["key"]}
    labels = tuple(one["label"] for one in told.get("labels", ()))
    rest = (told.get("threshold"), told.get("reason"))
    return Mode(told["key"], told["available"], title["en"], title["zh"], labels, *rest)
