"""How sure a mode is that a picture shows one of its classes at all: the scores to choose from, by name.

A head trained on ants and bees must divide all it is shown between the two, a bottle too, and is often quite certain.
How far a picture's features lie from those of the photos learned tells a stranger better than the head's answer does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import ModelError
from app.registry.manifest import ScoreReference


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A score by name; what it compares with, where it does, is in `tensors`:

    - `msp`: the largest probability (Hendrycks and Gimpel 2017), which is its own sureness;
    - `max_logit`: the largest logit (Hendrycks et al. 2022);
    - `energy`: the logarithm of the sum of the exponentials of the logits (Liu et al. 2020, at T = 1);
    - `knn`: the cosine to the k-th nearest photo learned (Sun et al. 2022); `known` float32 [photos, D] of length 1;
    - `mahalanobis`: minus the squared distance to the nearest class mean (Lee et al. 2018), on features of length 1;
      `means` float32 [classes, D], and `root` [D, D], a root of the inverse of the covariance within classes;
    - `joint`: the logarithm of `msp`, and `mahalanobis`, each in deviations from its mean over known photos, summed:
      what is unlike all that was learned counts, and so does what lies between two classes. `standard` [2, 2] has mean
      and deviation of either.

    `lift` [classes], where classes were added (`serving.new_class`): what is added to the score of a picture that the
    head takes for that class; 0 for those that were trained.
    """

    reference: ScoreReference
    tensors: Mapping[str, Tensor]

    def raw(self, features: Tensor, logits: Tensor) -> Tensor:
        """Features `[n, D]` and uncalibrated logits `[n, classes]` to scores `[n]`: larger is surer."""
        plain = self._unlifted(features, logits)
        return plain + self.tensors["lift"][logits.argmax(dim=1)] if "lift" in self.tensors else plain

    def _unlifted(self, features: Tensor, logits: Tensor) -> Tensor:
        reference, tensors = self.reference, self.tensors
        match reference.name:
            case "msp":
                return logits.softmax(dim=1).amax(dim=1)
            case "max_logit":
                return logits.amax(dim=1)
            case "energy":
                return logits.logsumexp(dim=1)
            case "knn":
                alike = functional.normalize(features, dim=1) @ tensors["known"].T
                return alike.topk(min(reference.neighbours, alike.shape[1]), dim=1).values[:, -1]
            case "mahalanobis":
                return -self._distance(features)
            case "joint":
                both = torch.stack([logits.log_softmax(dim=1).amax(dim=1), -self._distance(features)], dim=1)
                mean, deviation = tensors["standard"]
                summed: Tensor = ((both - mean) / deviation).sum(dim=1)
                return summed

    def _distance(self, features: Tensor) -> Tensor:
        """The squared Mahalanobis distance of features `[n, D]` to the nearest class mean, `[n]`."""
        root = self.tensors["root"]
        distances = torch.cdist(functional.normalize(features, dim=1) @ root, self.tensors["means"] @ root)
        return distances.amin(dim=1).square()

    def sureness(self, features: Tensor, logits: Tensor, probabilities: Tensor) -> Tensor:
        """How sure the mode is, `[n]`, 0 to 1: what the threshold is compared with.

        The largest of the calibrated `probabilities` `[n, classes]` for `msp`; else where the score lies between those
        of strangers and those of the mode's own (Platt 1999).
        """
        with torch.inference_mode():
            if self.reference.name == "msp":
                return probabilities.amax(dim=1)
            return sureness_of(self.reference, self.raw(features, logits))


def sureness_of(reference: ScoreReference, raw: Tensor) -> Tensor:
    """Raw scores `[n]`, of another score than `msp`, as sureness `[n]`."""
    return torch.sigmoid((raw - reference.centre) / reference.scale)


PROBABILITY = Score(ScoreReference(), {})
"""The score of a mode that has chosen none."""

_NEEDED = {"knn": ("known",), "mahalanobis": ("means", "root"), "joint": ("means", "root")}


def score_of(reference: ScoreReference, tensors: Mapping[str, Tensor], width: int, classes: int) -> Score:
    """The score of a version of so many classes on features `[n, width]`.

    Raises:
        ModelError: a tensor is missing, or of another width.
    """
    for name in _NEEDED.get(reference.name, ()):
        if name not in tensors:
            raise ModelError(f"its score has no {name}")
        if tensors[name].ndim != 2 or tensors[name].shape[1] != width or not len(tensors[name]):  # noqa: PLR2004
            raise ModelError(f"its score's {name} is {tuple(tensors[name].shape)}, which does not fit {width} features")
    if reference.name == "joint" and ("standard" not in tensors or tensors["standard"].shape != (2, 2)):
        raise ModelError("its score has no standard")
    if "lift" in tensors and tensors["lift"].shape != (classes,):
        raise ModelError(f"its score lifts {tuple(tensors['lift'].shape)} of {classes} classes")
    if not math.isfinite(reference.centre):
        raise ModelError("its score's centre is not a number")
    return Score(reference, {name: tensor.float() for name, tensor in tensors.items()})
