"""From probabilities to an answer: the top-k, or "unknown" where the mode is not sure enough."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What a mode thinks of one picture: `probabilities` [classes], and how sure it is that it shows one of them."""

    probabilities: Tensor
    sureness: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`top`: (class index, confidence 0 to 1), best first; `unknown`: the mode is less sure than the threshold."""

    top: tuple[tuple[int, float], ...]
    unknown: bool


def decide(opinion: Opinion, threshold: float, top_k: int) -> Decision:
    """Decide on one picture; a mode of fewer than `top_k` classes lists all it has."""
    probabilities = opinion.probabilities
    confidences, indices = probabilities.topk(min(top_k, len(probabilities)))
    top = tuple((int(index), float(confidence)) for index, confidence in zip(indices, confidences, strict=True))
    return Decision(top, unknown=opinion.sureness < threshold)
