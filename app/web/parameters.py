"""The parameters of a recognition request, from the query or the form, checked."""

import math
from dataclasses import dataclass

from flask import Request

from app.errors import BadParameter, NoFile
from app.web.language import LANGUAGES
from app.web.uploads import content

DEFAULT_TOP_K = 3
MAX_TOP_K = 10


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture as it came: the client's name for it (None in a raw body), and its bytes."""

    filename: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Parameters:
    """`threshold` None: the mode's own."""

    mode: str
    threshold: float | None
    top_k: int
    explain: bool
    groups: bool


def read_parameters(request: Request, default_mode: str) -> Parameters:
    """The request's parameters; of one that is given twice, in the query and in the form, the query's.

    Raises:
        BadParameter: one is out of range, even if another of the name counts; the error names it.
    """
    values = request.values
    if not set(values.getlist("lang")) <= set(LANGUAGES):
        raise BadParameter(name="lang", en="'en' or 'zh'", zh="en 或 zh")
    for name in ("explain", "groups"):
        if not set(values.getlist(name)) <= {"0", "1"}:
            raise BadParameter(name=name, en="'0' or '1'", zh="0 或 1")
    thresholds = [read_threshold(text) for text in values.getlist("threshold")]
    counts = [_top_k(text) for text in values.getlist("top_k")]
    return Parameters(
        mode=values.get("mode") or default_mode,
        threshold=next(iter(thresholds), None),
        top_k=next(iter(counts), DEFAULT_TOP_K),
        explain=values.get("explain") == "1",
        groups=values.get("groups") == "1",
    )


def read_uploads(request: Request) -> list[Upload]:
    """The pictures of the request: the parts `file` and `image`, or one raw body of an `image/*` type.

    Raises:
        NoFile: there is none.
    """
    if request.mimetype.startswith("image/"):
        data = request.get_data(cache=False)
        uploads = [Upload(None, data)] if data else []
    else:
        parts = request.files.getlist("file") + request.files.getlist("image")
        uploads = [Upload(part.filename, content(part)) for part in parts]
        uploads = [upload for upload in uploads if upload.filename or upload.data]  # a form's field left empty
    if not uploads:
        raise NoFile
    return uploads


def read_threshold(text: str) -> float | None:
    """A threshold as it was sent; None where none was. Raises BadParameter."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise BadParameter(name="threshold", en="a number from 0 to 1", zh=" 0 到 1 之间的数")
    return value


def _top_k(text: str) -> int:
    if not text:
        return DEFAULT_TOP_K
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0  # noqa: PLR2004
    if not 1 <= value <= MAX_TOP_K:
        raise BadParameter(name="top_k", en=f"a whole number from 1 to {MAX_TOP_K}", zh=f" 1 到 {MAX_TOP_K} 的整数")
    return value
