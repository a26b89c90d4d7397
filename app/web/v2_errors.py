"""Errors as the Open Inference Protocol has them: one sentence, with the status of our own tree of errors."""

from flask import request

from app.errors import NotFound, PublicError, UnsupportedFormat
from app.web.language import language


class NotOffered(NotFound):
    sentence_en = "This part of the Open Inference Protocol is not offered here: health, metadata and infer are."
    sentence_zh = "这里不提供开放推理协议的这一部分；可用的是健康检查、元数据和推理（infer）。"


class Compressed(UnsupportedFormat):
    sentence_en = "A compressed body is not accepted: send it without Content-Encoding."
    sentence_zh = "不接受压缩的请求体：请去掉 Content-Encoding 后重新发送。"


def is_protocol() -> bool:
    """Whether the current request is one of the protocol's, or means to be."""
    return request.path == "/v2" or request.path.startswith("/v2/")


def told(error: PublicError) -> dict[str, str]:
    """The error's sentence; where it is one picture's among several, it says which."""
    if type(error) is NotFound:
        error = NotOffered()
    sentence = error.sentence(language())
    picture = error.values.get("picture")
    return {"error": sentence if picture is None else f"image[{picture}]: {sentence}"}
