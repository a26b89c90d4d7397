"""Tensors of the Open Inference Protocol: numbers and pictures out of JSON or bytes, and answers into either."""

import base64
import struct
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.errors import BadParameter, TooManyFiles
from app.serving.recogniser import MAX_FILES
from app.vision.transform import Transform
from app.web.schemas_v2 import InferInput

Numbers = np.ndarray[Any, np.dtype[np.float32]]

_FLOAT = np.dtype("<f4")
_LENGTH = struct.Struct("<I")
_FAR = 10
"""How many times further from 0 than any picture's a value may be: no honest tensor is, and a huge one overflows
inside a network, which then looks broken itself."""


def read_pixels(sent: InferInput, binary: bytes | None, transform: Transform) -> Tensor:
    """Normalised pictures float32 `[n, 3, crop, crop]`, laid out channels-last as a transform lays them out.

    Raises:
        BadParameter: type, shape, length or a value is wrong. TooManyFiles.
    """
    side = transform.crop
    if sent.datatype != "FP32" or sent.shape[1:] != [3, side, side]:
        raise BadParameter(name="pixels", en=f"FP32 [n, 3, {side}, {side}]", zh=f" FP32 [n, 3, {side}, {side}]")
    _check_count(sent)
    numbers = _numbers(sent.data, sent.shape) if binary is None else _floats(binary, prod(sent.shape))
    most = _FAR * max(max(mean, 1 - mean) / std for mean, std in zip(transform.mean, transform.std, strict=True))
    if not (np.abs(numbers) <= most).all():  # which NaN is not, either
        raise BadParameter(
            name="pixels",
            en="normalised as the model's metadata says; it has values that no picture can have",
            zh="按模型元数据归一化的图片；其中有图片不可能出现的数值",
        )
    rows = np.array(numbers.reshape(sent.shape).transpose(0, 2, 3, 1), np.float32, order="C")
    return torch.from_numpy(rows).permute(0, 3, 1, 2)


def read_images(sent: InferInput, binary: bytes | None) -> list[bytes]:
    """Encoded pictures, of which nothing is known yet.

    Raises:
        BadParameter: type, shape or a length is wrong, or base64 is none. TooManyFiles.
    """
    if sent.datatype != "BYTES" or sent.shape[1:] not in ([], [1]):
        raise BadParameter(name="image", en="BYTES [n] or [n, 1]", zh=" BYTES [n] 或 [n, 1]")
    _check_count(sent)
    return _from_base64(sent.data, sent.shape) if binary is None else _from_bytes(binary, sent.shape[0])


@dataclass(frozen=True, slots=True)
class Output:
    """One answered tensor: float32 of any shape, or strings with their shape."""

    name: str
    values: Numbers | list[str]
    shape: tuple[int, ...]

    def told(self, *, is_binary: bool) -> tuple[dict[str, Any], bytes]:
        """What the JSON says of it, and what stands behind the JSON."""
        is_text = isinstance(self.values, list)
        content: dict[str, Any] = {
            "name": self.name, "datatype": "BYTES" if is_text else "FP32", "shape": list(self.shape)
        }  # fmt: skip
        if not is_binary:
            data = self.values if isinstance(self.values, list) else self.values.ravel().tolist()
            return {**content, "data": data}, b""
        binary = _with_lengths(self.values) if isinstance(self.values, list) else self.values.astype(_FLOAT).tobytes()
        return {**content, "parameters": {"binary_data_size": len(binary)}}, binary


def _check_count(sent: InferInput) -> None:
    if sent.shape[0] > MAX_FILES:
        raise TooManyFiles(limit=MAX_FILES)
    if sent.shape[0] == 0:
        raise BadParameter(name=sent.name, en="at least one picture", zh="至少一张图片")


def _floats(binary: bytes, count: int) -> Numbers:
    if len(binary) != count * _FLOAT.itemsize:
        raise BadParameter(
            name="pixels", en=f"as long as its shape says: {count * 4} bytes", zh=f"与形状一致：{count * 4} 字节"
        )
    return np.frombuffer(binary, _FLOAT)


def _numbers(data: list[Any] | None, shape: list[int]) -> Numbers:
    flat = _flat(data, shape)
    if flat is None or not set(map(type, flat)) <= {int, float}:
        raise BadParameter(
            name="pixels", en=f"{prod(shape)} numbers, flat or nested as its shape",
            zh=f" {prod(shape)} 个数，平铺或按形状嵌套",
        )  # fmt: skip
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused for that
            return np.array(flat, np.float32)
    except OverflowError:
        return np.array([np.nan], np.float32)


def _flat(data: list[Any] | None, shape: list[int]) -> list[Any] | None:
    """The values row by row; None where they are not as many as the shape says, or not nested as it says."""
    if data and isinstance(data[0], list):
        for size in shape[1:]:
            if not all(isinstance(row, list) and len(row) == size for row in data):
                return None
            data = list(chain.from_iterable(data))
    return data if data is not None and len(data) == prod(shape) else None


def _from_base64(data: list[Any] | None, shape: list[int]) -> list[bytes]:
    flat = _flat(data, shape)
    try:
        if flat is not None and all(isinstance(text, str) for text in flat):
            return [base64.b64decode(text, validate=True) for text in flat]
    except ValueError:
        pass
    raise BadParameter(
        name="image", en=f"{shape[0]} pictures as strings of base64", zh=f" {shape[0]} 张图片，各为一个 base64 字符串"
    )


def _from_bytes(binary: bytes, count: int) -> list[bytes]:
    """Each picture with its length before it, four bytes, the lowest first."""
    pictures: list[bytes] = []
    place = 0
    while len(pictures) < count and place + _LENGTH.size <= len(binary):
        (length,) = _LENGTH.unpack_from(binary, place)
        place += _LENGTH.size
        pictures.append(binary[place : place + length])
        place += length
    if len(pictures) != count or place != len(binary):
        raise BadParameter(
            name="image", en=f"{count} pictures, each after its length in four bytes",
            zh=f" {count} 张图片，每张之前是四字节的长度",
        )  # fmt: skip
    return pictures


def _with_lengths(texts: list[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in encoded))
