"""`explain=1`: where the network looked, added to an answer."""

from collections.abc import Sequence
from typing import Any

from flask import current_app, request

from app.errors import RequestError
from app.serving.batching import Answer
from app.serving.mode import Mode
from app.serving.recogniser import Recogniser
from app.web.caller import caller_of

_DIGITS = 6


def add_explanations(mode: Mode, outcomes: Sequence[Answer | RequestError], results: Sequence[dict[str, Any]]) -> None:
    """Give each picture's result, which lies at its outcome's place, the member `explanation` for its `top`.

    Raises:
        PublicError: as `Recogniser.explain`.
    """
    recogniser: Recogniser = current_app.extensions["recogniser"]
    answered = [
        (outcome.picture, result, [guess["index"] for guess in result["top"]])
        for outcome, result in zip(outcomes, results, strict=True)
        if isinstance(outcome, Answer)
    ]
    asked = [(picture.tensor, indices) for picture, _, indices in answered]
    explained = recogniser.explain(mode, asked, caller_of(request.environ).is_there)
    for (picture, result, indices), maps in zip(answered, explained, strict=True):
        region = mode.backbone.transform.region(picture.width, picture.height)
        sides = ("x", "y", "width", "height")
        result["explanation"] = {
            "region": {side: round(share, _DIGITS) for side, share in zip(sides, region, strict=True)},
            "maps": [{"index": index, "rows": one.tolist()} for index, one in zip(indices, maps, strict=True)],
        }
