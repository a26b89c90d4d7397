"""Which version answers a request, who looks on, and what is counted of both."""

import secrets
from functools import partial

from flask import Blueprint, Response, current_app, g, request
from torch import Tensor

from app.errors import PublicError, RequestError
from app.feedback.counts import Counts, Sums
from app.serving.arms import Arms, Contender
from app.serving.batching import Answer
from app.serving.decision import Opinion, decide
from app.serving.mode import Mode, sound
from app.serving.recogniser import Recogniser
from app.serving.shadow import Shadow
from app.serving.strikes import Strikes
from app.web import metrics
from app.web.caller import caller_of
from app.web.failures import wants_page

COOKIE = "arm"
HEADER = "X-Client-Id"
MONTH_S = 30 * 24 * 3600

blueprint = Blueprint("arms", __name__)


def recognised(
    arms: Arms, pictures: list[bytes] | Tensor, threshold: float | None
) -> tuple[Mode, list[Answer | RequestError]]:
    """The version that answered the current request, and what it says of each picture.

    Where callers are shared out, the version on trial answers its own; if it errs, the active one answers instead.
    `pictures`: uploads, or a tensor as `Recogniser.recognise_tensor` takes it. `threshold`: what the caller wishes, or
    None.

    Raises:
        PublicError: as `Recogniser.recognise`.
    """
    recogniser: Recogniser = current_app.extensions["recogniser"]
    contender = arms.contender_for(caller_id()) if arms.splits else None
    if contender is not None:
        try:
            outcomes = _asked(pictures, contender.mode)
            for outcome in outcomes:
                if isinstance(outcome, Answer):
                    sound(outcome.opinion.probabilities)
        except PublicError:
            raise
        except Exception as error:
            _erred(current_app.extensions["counts"], recogniser.manager.strikes, contender, error, len(pictures))
        else:
            return contender.mode, outcomes
    try:
        return arms.active, _asked(pictures, arms.active, _shadow(arms, threshold))
    except PublicError:
        raise
    except Exception:
        count(arms.active, arms.role, Sums(errors=len(pictures)))
        raise


def _asked(pictures: list[bytes] | Tensor, mode: Mode, shadow: Shadow | None = None) -> list[Answer | RequestError]:
    recogniser: Recogniser = current_app.extensions["recogniser"]
    is_there = caller_of(request.environ).is_there
    if isinstance(pictures, Tensor):
        return recogniser.recognise_tensor(pictures, mode, is_there, shadow)
    return recogniser.recognise(pictures, mode, is_there, shadow)


def count(mode: Mode, role: str, sums: Sums) -> None:
    """Count what a version did in the current request."""
    _count(current_app.extensions["counts"], mode, role, sums)


def caller_id() -> str:
    """Who asks, as far as sharing out callers needs it: an id of their own, or their address.

    A program may send one. A browser that has none is given one, in a cookie; call this only while callers are shared
    out, for nobody else needs it.
    """
    known = request.headers.get(HEADER) or request.cookies.get(COOKIE)
    if known:
        return known
    if wants_page() or "Origin" in request.headers:  # which a browser sends with every post
        if "new_caller" not in g:
            g.new_caller = secrets.token_urlsafe(16)
        return str(g.new_caller)
    return request.remote_addr or "unknown"


@blueprint.after_app_request
def _remember_caller(response: Response) -> Response:
    if "new_caller" in g:
        response.set_cookie(
            COOKIE, g.new_caller, max_age=MONTH_S, httponly=True, samesite="Lax", secure=request.is_secure
        )
    return response


def _shadow(arms: Arms, threshold: float | None) -> Shadow | None:
    """Who looks on at the current request. What it is told with must not need the request, which will be over."""
    if arms.shadow is None:
        return None
    counts: Counts = current_app.extensions["counts"]
    recogniser: Recogniser = current_app.extensions["recogniser"]
    told = partial(_seen, counts, recogniser.manager.strikes, arms.active, arms.shadow, threshold)
    return Shadow(arms.shadow.mode, told)


def _seen(
    counts: Counts,
    strikes: Strikes,
    active: Mode,
    shadow: Contender,
    threshold: float | None,
    answer: Answer,
    seen: Opinion | Exception,
    infer_s: float,
) -> None:
    """Count what a shadow would have said, and whether it is what the active version did say."""
    if isinstance(seen, Exception):
        _erred(counts, strikes, shadow, seen, 1)
        return
    said = _said(shadow.mode, seen, threshold)
    agreed = said == _said(active, answer.opinion, threshold)
    sums = Sums(1, unknown=said is None, compared=1, agreed=agreed, infer_s=infer_s)
    _count(counts, shadow.mode, shadow.plan.kind, sums)


def _said(mode: Mode, opinion: Opinion, threshold: float | None) -> str | None:
    """The label, or None for "unknown"."""
    decision = decide(opinion, mode.threshold if threshold is None else threshold, 1)
    return None if decision.unknown else mode.labels[decision.top[0][0]].label


def _erred(counts: Counts, strikes: Strikes, contender: Contender, error: Exception, pictures: int) -> None:
    strikes.add(contender.mode.key, contender.plan, error)
    _count(counts, contender.mode, contender.plan.kind, Sums(errors=pictures))


def _count(counts: Counts, mode: Mode, role: str, sums: Sums) -> None:
    counts.add(mode.key, mode.model.version, role, sums)
    metrics.observe_version(mode, role, sums.pictures)
