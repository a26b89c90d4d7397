"""One more class for a head that is there already, from a few photos: nothing that the others learned is touched.

- Stored photos that vote (`NeighbourHead`): the new ones are stored, too, which is all that teaching anew would do.
- A head of class means (recipe `prototype`): one more mean, at the scale of the others; likewise all there is to do.
- Any other linear head: an imprinted weight (Qi et al. 2018, "Low-Shot Learning with Imprinted Weights"). The new row
  points from what is common to the old photos to the mean of the new ones and is as long as the old rows are; its bias
  is set between what the new photos need and what the old ones bear. Between old classes nothing changes: a softmax
  divides among them, in the same shares, what the new class leaves.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.errors import ModelError
from app.serving.head import Head, LinearHead, NeighbourHead

MOST_LOST = 0.025
"""The most of the old photos, as a share, that the new class may take when its bias is set."""
_SAME_SCALE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A class of a linear head: `weight` [width] and `bias`."""

    weight: Tensor
    bias: float

    def over(self, head: LinearHead, features: Tensor) -> Tensor:
        """By how much the class beats the best of `head`'s own, for features `[n, width]`."""
        return features @ self.weight + self.bias - head.logits(features).amax(dim=1)


def grown(head: Head, new: Tensor, old: Tensor | None, views: int = 1) -> Head:
    """`head` with one more class, the last, of photos with the features `new` [n, width]; `old`, `views`: as below.

    Raises:
        ModelError: it is of another kind.
    """
    if isinstance(head, NeighbourHead):
        return with_photos(head, new, views)
    if isinstance(head, LinearHead):
        return with_row(head, row_for(head, new, old))
    raise ModelError("a class can only be added to a linear head or to stored photos")


def with_photos(head: NeighbourHead, new: Tensor, views: int = 1) -> NeighbourHead:
    """The head with the features `new` [n, width] as photos of one more class.

    `views`: as how many rows each photo of the others is stored, for votes are counted by rows.
    """
    rows = torch.nn.functional.normalize(new, dim=1).repeat_interleave(views, dim=0)
    labels = torch.full((len(rows),), head.classes, dtype=head.labels.dtype)
    return replace(
        head,
        neighbours=torch.cat([head.neighbours, rows]),
        labels=torch.cat([head.labels, labels]),
        classes=head.classes + 1,
    )


def with_row(head: LinearHead, row: Row) -> LinearHead:
    """The head with one more class."""
    weight = torch.cat([head.weight, row.weight.unsqueeze(0).to(head.weight)])
    return LinearHead(weight, torch.cat([head.bias, head.bias.new_tensor([row.bias])]))


def row_for(head: LinearHead, new: Tensor, old: Tensor | None) -> Row:
    """The row of a new class of photos `new` [n, width], n at least 1, beside photos `old` [m, width] of the others.

    Without `old` the bias lets every new photo win, and nothing holds it back.
    """
    spread = spread_of(head)
    if spread is not None:
        return _mean_row(new, spread)
    centre = None if old is None else old.mean(dim=0)
    row = Row(_direction(head, new, centre), 0.0)
    bear = torch.empty(0) if old is None else row.over(head, old)
    return replace(row, bias=-_boundary(_unseen(head, new, centre), bear))


def spread_of(head: LinearHead) -> float | None:
    """The s^2 of a head of class means m, whose rows are 2 m / s^2 with the bias -|m|^2 / s^2; None: it is none."""
    squares = head.weight.double().square().sum(dim=1)
    spreads = -4 * head.bias.double() / squares.clamp(min=1e-30)
    spread = float(spreads.mean())
    if spread <= 0 or float((spreads / spread - 1).abs().max()) > _SAME_SCALE:
        return None
    return spread


def _mean_row(new: Tensor, spread: float) -> Row:
    mean = new.double().mean(dim=0)
    return Row((2 * mean / spread).float(), float(-mean.square().sum() / spread))


def _direction(head: LinearHead, new: Tensor, centre: Tensor | None) -> Tensor:
    """From the centre of the old photos to that of the new, as long as the head's rows are on average."""
    away = new.mean(dim=0) if centre is None else new.mean(dim=0) - centre
    scaled: Tensor = away / away.norm().clamp(min=1e-12) * head.weight.norm(dim=1).mean()
    return scaled


def _unseen(head: LinearHead, new: Tensor, centre: Tensor | None) -> Tensor:
    """By how much each new photo beats the old classes, without a bias, by the row that the other new photos make: its
    own row flatters it. A single photo has only its own."""
    if len(new) == 1:
        return Row(_direction(head, new, centre), 0.0).over(head, new)
    margins = []
    for place in range(len(new)):
        others = torch.cat([new[:place], new[place + 1 :]])
        margins.append(Row(_direction(head, others, centre), 0.0).over(head, new[place : place + 1]))
    return torch.cat(margins)


def _boundary(new: Tensor, old: Tensor) -> float:
    """Where to part the margins `new` [n] from `old` [m]: the least share of both on the wrong side, with at most
    MOST_LOST of the old above; among equals the nearest to the middle of the two means."""
    every = torch.cat([new, old]).double().sort().values
    gap = max(float(every[-1] - every[0]) * 1e-3, 1e-6)
    places = torch.cat([every[:1] - gap, (every[1:] + every[:-1]) / 2, every[-1:] + gap])
    missed = (new.double() < places.unsqueeze(1)).double().mean(dim=1)
    if not len(old):
        return float(places[missed == 0].max())
    lost = (old.double() >= places.unsqueeze(1)).double().mean(dim=1)
    middle = (new.double().mean() + old.double().mean()) / 2
    order = sorted(
        (float(missed[index] + lost[index]), float((place - middle).abs()), float(place))
        for index, place in enumerate(places)
        if lost[index] <= MOST_LOST
    )
    return order[0][2]
