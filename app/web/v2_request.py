"""A request to infer, as JSON alone or with tensors behind it, checked before anything large is made of it."""

import threading
from dataclasses import dataclass

from flask import Request
from pydantic import ValidationError
from torch import Tensor

from app.errors import BadParameter, Busy, TooLarge
from app.vision.transform import Transform
from app.web.schemas_v2 import OUTPUTS, InferOutput, InferRequest
from app.web.v2_errors import Compressed
from app.web.v2_tensors import read_images, read_pixels

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_JSON_MB = 16
MAX_VALUES, MAX_LISTS, MAX_MEMBERS = 1_000_000, 100_000, 10_000
"""In JSON: six pictures of numbers, row by row. A list of two characters would take 300 bytes once it is parsed."""
_LARGE = 256 * 1024
_WAIT_S = 10
_one_large = threading.Lock()
"""JSON takes several times its size while it is parsed: what is large is parsed one after the other."""

_MUST_BE = {
    "id": ("a text of at most 256 characters", "不超过 256 字的文字"),
    "threshold": ("a number from 0 to 1", " 0 到 1 之间的数"),
    "sequence_id": ("absent: sequences are not offered here", "空：这里不提供序列推理"),
    "shared_memory_region": ("absent: shared memory is not offered here", "空：这里不提供共享内存"),
    "inputs": ("a list of one input, 'pixels' or 'image'", "仅含一个输入的列表：pixels 或 image"),
    "outputs": (f"a list of {', '.join(OUTPUTS)}, each once at most", f"由 {'、'.join(OUTPUTS)} 组成且不重复的列表"),
    "datatype": ("'FP32' or 'BYTES'", " FP32 或 BYTES"),
    "shape": ("a list of whole numbers, the number of pictures first", "整数列表，第一个是图片张数"),
    "data": ("a list", "列表"),
    "classification": ("a whole number from 1 on", "不小于 1 的整数"),
    "binary_data_size": ("a whole number, the tensor's bytes behind the JSON", "整数，即 JSON 之后该张量的字节数"),
}
_NAMES = {
    "inputs": ("'pixels' or 'image'", " pixels 或 image"),
    "outputs": (", ".join(OUTPUTS[:-1]) + f" or {OUTPUTS[-1]}", "、".join(OUTPUTS) + " 之一"),
}
_SWITCH = ("true or false", " true 或 false")
_BODY = ("a JSON object as the Open Inference Protocol has it", "符合开放推理协议的 JSON 对象")


@dataclass(frozen=True, slots=True)
class Inference:
    """What is asked: encoded pictures, or a tensor `[n, 3, crop, crop]`; and the outputs that are wanted."""

    id: str | None
    pictures: list[bytes] | Tensor
    threshold: float | None
    outputs: list[InferOutput]
    is_binary: bool

    def wants_binary(self, output: InferOutput) -> bool:
        """Whether this output is answered behind the JSON."""
        wish = output.parameters.binary_data
        return self.is_binary if wish is None else wish


def read_inference(request: Request, body: bytes, transform: Transform) -> Inference:
    """What the current request, with its whole body, asks of a mode of that transform.

    Raises:
        BadParameter: something is not as it must be; the error names it. TooLarge, TooManyFiles. Compressed.
        Busy: others' large JSON is still being read.
    """
    if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise Compressed
    length = _json_length(request.headers.get(HEADER_LENGTH), len(body))
    json, binary = body[:length], b"" if length is None else body[length:]
    if len(json) <= _LARGE:
        return _read(json, binary, transform)
    if not _one_large.acquire(timeout=_WAIT_S):
        raise Busy(retry_after_s=2)
    try:
        return _read(json, binary, transform)
    finally:
        _one_large.release()


def _json_length(header: str | None, size: int) -> int | None:
    """How many bytes of the body are JSON; None: all."""
    if header is None:
        return None
    length = int(header) if header.isascii() and header.isdecimal() and len(header) < 12 else size + 1  # noqa: PLR2004
    if length > size:
        raise BadParameter(
            name=HEADER_LENGTH, en="how many of the body's bytes are JSON", zh="请求体中 JSON 部分的字节数"
        )
    return length


def _read(json: bytes, binary: bytes, transform: Transform) -> Inference:
    sent = _parsed(json)
    (tensor,) = sent.inputs
    size = tensor.parameters.binary_data_size
    if size is None and binary:
        raise BadParameter(
            name="inputs.0", en="in the JSON, or behind it with its size", zh="放在 JSON 内，或连同长度放在其后"
        )
    if size is not None and (tensor.data is not None or size != len(binary)):
        en, zh = _MUST_BE["binary_data_size"]
        raise BadParameter(name="binary_data_size", en=en, zh=zh)
    behind = None if size is None else binary
    pictures = read_pixels(tensor, behind, transform) if tensor.name == "pixels" else read_images(tensor, behind)
    outputs = sent.outputs or [InferOutput(name=name) for name in OUTPUTS]
    return Inference(sent.id, pictures, sent.parameters.threshold, outputs, sent.parameters.binary_data_output)


def _parsed(json: bytes) -> InferRequest:
    if len(json) > MAX_JSON_MB * 1024**2:
        raise TooLarge(limit_mb=MAX_JSON_MB)
    lists = json.count(b"[") + json.count(b"{")
    if json.count(b",") > MAX_VALUES or lists > MAX_LISTS or json.count(b":") > MAX_MEMBERS:
        raise BadParameter(
            name="body", en="smaller: send the tensor behind the JSON", zh="更小的 JSON：请把张量放在 JSON 之后发送"
        )
    try:
        sent = InferRequest.model_validate_json(json)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _wrong(tuple(first["loc"])) from error
    if len({output.name for output in sent.outputs}) < len(sent.outputs):
        raise _wrong(("outputs",))
    for output in sent.outputs:
        if output.parameters.classification and output.name != "probabilities":
            raise BadParameter(name="classification", en="of 'probabilities' only", zh="仅用于 probabilities 的参数")
    return sent


def _wrong(place: tuple[int | str, ...]) -> BadParameter:
    names = [part for part in place if isinstance(part, str)]
    last = names[-1] if names else ""
    en, zh = _MUST_BE.get(last, _BODY)
    if last == "name":
        en, zh = _NAMES[names[0]]
    elif last.startswith("binary_data") and last != "binary_data_size":
        en, zh = _SWITCH
    return BadParameter(name=".".join(map(str, place)) or "body", en=en, zh=zh)
