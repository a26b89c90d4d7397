"""What training makes small."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

UNLABELLED = -1
"""The label of a photo of which only a teacher says what it shows."""
_TEMPERATURES = torch.logspace(-2, 2, 41, base=10)


def balanced_weights(labels: Sequence[int], classes: int) -> Tensor:
    """A weight for each class, float32 `[classes]`: n / (classes * count), as scikit-learn's "balanced".

    A class without photos weighs nothing. Unlabelled photos do not count.
    """
    counts = _counts(labels, classes).float()
    present = counts > 0
    weights = torch.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


class ClassificationLoss(nn.Module):
    """Cross-entropy, by class weights (`[classes]` or None), with label smoothing (Szegedy et al. 2016).

    `adjustment` `[classes]` is added to the logits while they are learnt, and missing from them afterwards. The mean is
    over the photos, so that a batch taken in parts has the same gradient.
    """

    weight: Tensor | None
    adjustment: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, label_smoothing: float = 0.0, adjustment: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("adjustment", adjustment)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[n, classes]` and labels `[n]` to a scalar."""
        if self.adjustment is not None:
            logits = logits + self.adjustment
        total = functional.cross_entropy(
            logits, labels, weight=self.weight, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / len(labels)


def loss_for(balance: str, labels: Sequence[int], classes: int, label_smoothing: float) -> ClassificationLoss:
    """The loss that `balance`, one of the options' names, asks for with these training labels.

    - `adjusted`: the log of each class's share is added to its logit while learning (Menon et al. 2021), so that a rare
      class must win by more. Class weights do little where training photos are told apart without mistake anyway.
    - `weights`: photos of rare classes weigh more.
    - `oversample`, `none`: plain cross-entropy.
    """
    if balance == "adjusted":
        counts = _counts(labels, classes).clamp(min=1)
        return ClassificationLoss(None, label_smoothing, (counts / counts.sum()).log())
    return ClassificationLoss(balanced_weights(labels, classes) if balance == "weights" else None, label_smoothing)


def drawing_weights(labels: Tensor, weights: Tensor) -> Tensor:
    """How often each photo is drawn, float32 `[n]`, by its class's weight; an unlabelled one as often as the mean."""
    chances = weights[labels.clamp(min=0)]
    known = labels != UNLABELLED
    return torch.where(known, chances, chances[known].mean())


def _counts(labels: Sequence[int], classes: int) -> Tensor:
    return torch.bincount(torch.tensor([label for label in labels if label != UNLABELLED]), minlength=classes)


class DistillationLoss(nn.Module):
    """alpha * T^2 * KL(teacher || student), both at temperature T, + (1 - alpha) * `hard` (Hinton et al. 2015).

    T^2 keeps the share of the soft part as it is when T changes: its gradients shrink with 1 / T^2. A photo whose label
    is `UNLABELLED` has the soft part alone.
    """

    def __init__(self, hard: nn.Module, temperature: float = 4.0, alpha: float = 0.7) -> None:
        super().__init__()
        self.hard, self.temperature, self.alpha = hard, temperature, alpha

    def forward(self, logits: Tensor, labels: Tensor, teacher_logits: Tensor) -> Tensor:
        """Logits of both `[n, classes]` and labels `[n]` to a scalar."""
        student = functional.log_softmax(logits / self.temperature, dim=1)
        teacher = functional.log_softmax(teacher_logits.detach() / self.temperature, dim=1)
        divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        soft = divergence * self.temperature**2
        known = labels != UNLABELLED
        if not known.any():
            return self.alpha * soft
        hard: Tensor = self.hard(logits[known], labels[known]) * (known.sum() / len(labels))
        return self.alpha * soft + (1 - self.alpha) * hard


def calibrated_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> float:
    """Cross-entropy of `logits` [n, classes] at the temperature that suits them best, by class weights `[classes]`.

    A version is calibrated before it is served, so it is this, and not how sure of itself a network happens to be at
    the moment, that tells a better network from a worse one.
    """
    softened = logits.detach().float().cpu() / _TEMPERATURES.view(-1, 1, 1)
    losses = functional.cross_entropy(
        softened.flatten(0, 1), labels.cpu().repeat(len(_TEMPERATURES)), weight=weight, reduction="none"
    )
    total = float(len(labels)) if weight is None else float(weight[labels.cpu()].sum())
    return float(losses.view(len(_TEMPERATURES), -1).sum(1).min() / max(total, 1e-12))


def annealed(temperature: float, progress: float) -> float:
    """The temperature at `progress` (0 to 1) of the run: from `temperature` down to 1 on a cosine."""
    return 1 + (temperature - 1) * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2
