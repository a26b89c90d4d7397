"""From probabilities to an answer: the top-k, or "unknown" where the mode does not believe its best guess."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Decision:
    """`top`: (class index, confidence 0 to 1), best first; `unknown`: the best is below the threshold."""

    top: tuple[tuple[int, float], ...]
    unknown: bool


def decide(probabilities: Tensor, threshold: float, top_k: int) -> Decision:
    """Decide on one picture's probabilities `[classes]`; a mode of fewer than `top_k` classes lists all it has."""
    confidences, indices = probabilities.topk(min(top_k, len(probabilities)))
    top = tuple((int(index), float(confidence)) for index, confidence in zip(indices, confidences, strict=True))
    return Decision(top, unknown=top[0][1] < threshold)
