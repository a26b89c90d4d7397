"""Errors as people and programs see them: a page with one sentence, or `application/problem+json` (RFC 9457)."""

import errno
import logging
import unicodedata
from http import HTTPStatus

import werkzeug.exceptions
from flask import Flask, Response, g, jsonify, make_response, render_template, request
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize, NoMoreData
from werkzeug.exceptions import HTTPException

from app.config import Settings
from app.errors import (
    BadParameter,
    InternalError,
    MethodNotAllowed,
    NoFile,
    NotFound,
    NotSaved,
    PublicError,
    StorageFull,
    TooLarge,
)
from app.registry.files import is_full
from app.serving.memory import forget_where
from app.web import v2_errors
from app.web.language import language
from app.web.uploads import FormTooLarge, TooSlow

LOG = logging.getLogger(__name__)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EIO, errno.ESTALE)
_DISK_RETRY_S = 30

_IN_CHUNKS = (NoMoreData, ChunkMissingTerminator, InvalidChunkSize, InvalidChunkExtension)
"""What gunicorn raises as a body is read that is sent in chunks."""


class NotWritten(NotSaved):
    """The disk, where the other is the database."""

    sentence_en = "This could not be saved: the server cannot write to its models folder just now."
    sentence_zh = "暂时无法保存：服务器目前无法写入 models 文件夹。"


def init_app(app: Flask, _: Settings) -> None:
    """Answer every failure of `app` from the tree of errors."""
    app.before_request(_refuse_control_characters)
    app.register_error_handler(PublicError, answer)
    app.register_error_handler(HTTPException, _http_failure)
    app.register_error_handler(OSError, _disk)
    for broken in _IN_CHUNKS:
        app.register_error_handler(broken, _broken_off)
    app.register_error_handler(Exception, _unforeseen)


def answer(error: PublicError) -> Response:
    """The response for a public error, in the form and language that the request asks for."""
    g.error_code = error.code
    forget_where(error)
    if v2_errors.is_protocol():
        response = jsonify(v2_errors.told(error))
        response.status_code = error.status
    elif wants_page():
        sentence = error.sentence(language())
        page = render_template("error.html", sentence=sentence, request_id=g.get("request_id"))
        response = make_response(page, error.status)
    else:
        response = jsonify(problem(error))
        response.status_code = error.status
        response.mimetype = "application/problem+json"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
        if request.method == "GET" and response.mimetype == "text/html":
            response.headers["Refresh"] = str(
                error.retry_after_s
            )  # a person waiting for the start need not press a key
    return response


def problem(error: PublicError) -> dict[str, object]:
    """RFC 9457's members, and our stable `code`."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": error.sentence(language()),
        "request_id": g.get("request_id"),
    }


def wants_page() -> bool:
    """Whether a person's browser asks: it prefers HTML by name, where scripts say `*/*` or JSON."""
    accepted = request.accept_mimetypes
    return "text/html" in accepted.values() and accepted["text/html"] > accepted["application/problem+json"]


def _refuse_control_characters() -> None:
    """No address of ours has any, and PostgreSQL does not take all of them. Raises NotFound."""
    if any(unicodedata.category(character) == "Cc" for character in request.path):
        raise NotFound


def _http_failure(error: HTTPException) -> Response:
    response = answer(_translated(error))
    if isinstance(error, werkzeug.exceptions.MethodNotAllowed) and error.valid_methods:
        response.allow.update(error.valid_methods)  # RFC 9110 asks for it
    return response


def _translated(error: HTTPException) -> PublicError:
    """Flask's and werkzeug's own refusals, in our words."""
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if code == HTTPStatus.NOT_FOUND:
        return NotFound()
    if code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed()
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _too_large()
    if HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _ill_formed()
    return InternalError()


def _disk(error: OSError) -> Response:
    """A disk that is full, read-only or gone is nobody's mistake in the code; other failures of this kind may be."""
    if is_full(error):
        return answer(StorageFull())
    if error.errno in _NOT_WRITABLE and request.method not in ("GET", "HEAD"):
        LOG.warning("request %s could not write: %s", g.get("request_id"), error)
        return answer(NotWritten(retry_after_s=_DISK_RETRY_S))
    return _unforeseen(error)


def _too_large() -> PublicError:
    limit = request.max_content_length or 0
    if (request.content_length or 0) <= limit:
        if request.mimetype == "application/x-www-form-urlencoded":
            return NoFile()  # a picture sent as if it were a form's text, as `curl --data-binary` does
        if request.mimetype == "multipart/form-data":
            return FormTooLarge()
    return TooLarge(limit_mb=limit // 1024**2)


def _was_too_slow() -> bool:
    """Whether the rest of the request was not waited for; see `patience`."""
    return bool(getattr(request.environ.get("gunicorn.socket"), "ran_out", False))


def _ill_formed() -> PublicError:
    return TooSlow() if _was_too_slow() else BadParameter(name="body", en="a well-formed request", zh="格式正确的请求")


def _broken_off(_: Exception) -> Response:
    """A body sent in chunks that ends before it should, or is not in chunks at all."""
    return answer(_ill_formed())


def _unforeseen(error: Exception) -> Response:
    LOG.exception("the request failed", exc_info=error)
    return answer(InternalError())
