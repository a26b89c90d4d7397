"""Several networks that answer as one: an ensemble's backbone and head look like any other mode's from outside.

Its answer is the mean of its members' calibrated probabilities, by their weights, and over several views of the picture
where it takes more than one. The head gives the logarithm of that mean for logits: their softmax is the mean itself.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import ModelError
from app.registry.manifest import ViewsName
from app.serving.backbone import Backbone
from app.serving.head import Head
from app.serving.mode import Mode
from app.vision.transform import Pixels, Transform

VIEWS: dict[ViewsName, int] = {"plain": 1, "flip": 2, "crops": 5}
"""How many views of a picture there are: as it is; and mirrored; or the centre and the four corners of its square."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One opinion of the ensemble's, calibrated by its `temperature`; all weights sum to 1."""

    backbone: Backbone
    head: Head
    temperature: float
    weight: float


class Planes(Transform):
    """A picture as each member takes it, one upon the other: `[3 * planes, crop, crop]`.

    Its own fields are the first plane's, but for the sides, which are the largest.
    """

    planes: tuple[Transform, ...]

    @classmethod
    def of(cls, planes: Sequence[Transform]) -> Self:
        """All the planes that differ."""
        distinct = tuple(dict.fromkeys(planes))
        sides = {side: max(getattr(plane, side) for plane in distinct) for side in ("resize", "crop")}
        return cls(**{**distinct[0].model_dump(), **sides}, planes=distinct)

    def region(self, width: float, height: float) -> tuple[float, float, float, float]:
        """The first plane's: where others differ, they do so by a few pixels."""
        return self.planes[0].region(width, height)

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The planes."""
        return self.planes

    def joined(self, pixels: Sequence[Pixels]) -> Tensor:
        """The planes' pixels as float32 `[3 * planes, crop, crop]`; a smaller plane is filled up with zeros."""
        pictures = [plane.tensor(one) for plane, one in zip(self.planes, pixels, strict=True)]
        if len(pictures) == 1:
            return pictures[0]
        return torch.cat([functional.pad(one, (0, self.crop - one.shape[2]) * 2) for one in pictures])

    def split(self, batch: Tensor) -> list[Tensor]:
        """Each plane `[n, 3, its crop, its crop]` of a batch that `__call__` made.

        Pictures `[n, 3, h, w]` as the first plane takes them are shown to the others by their own statistics, so that
        an ensemble takes what any other network does: a teacher's pictures, or noise to warm up with.
        """
        if batch.shape[1] == 3 * len(self.planes):
            parts = batch.split(3, dim=1)
            return [part[..., : plane.crop, : plane.crop] for part, plane in zip(parts, self.planes, strict=True)]
        first = self.planes[0]
        return [batch if plane == first else first.shown_to(plane, batch) for plane in self.planes]


class EnsembleBackbone(Backbone):
    """The networks of an ensemble, each of them run once for each view."""

    def __init__(self, backbones: Sequence[Backbone], views: ViewsName) -> None:
        # Nothing is compiled here: each of the networks is already.
        self.backbones = tuple(dict.fromkeys(backbones))
        self.views = views
        self._planes = [_plane(backbone.transform, views) for backbone in self.backbones]
        self.transform: Planes = Planes.of(self._planes)
        self.name = "+".join(backbone.name for backbone in self.backbones)
        parts = [
            f"{one.fingerprint}:{plane.model_dump_json()}"
            for one, plane in zip(self.backbones, self._planes, strict=True)
        ]
        self.fingerprint = hashlib.sha256("\n".join([views, *parts]).encode()).hexdigest()
        self.widths = [VIEWS[views] * backbone.width for backbone in self.backbones]
        self.width = sum(self.widths)
        self.precision = "+".join(dict.fromkeys(backbone.precision for backbone in self.backbones))

    def features(self, batch: Tensor) -> Tensor:
        """What `transform` makes, `[n, 3 * planes, crop, crop]`, or `[n, 3, h, w]` as the first plane takes it, to
        features `[n, width]`: network after network, and within each, view after view."""
        pictures = self.pictures(batch)
        return torch.cat(
            [
                backbone.features(view)
                for backbone, picture in zip(self.backbones, pictures, strict=True)
                for view in _views(picture, self.views, backbone.transform.crop)
            ],
            dim=1,
        )

    def pictures(self, batch: Tensor) -> list[Tensor]:
        """The pictures of such a batch for each of the networks."""
        planes = dict(zip(self.transform.planes, self.transform.split(batch), strict=True))
        return [planes[plane] for plane in self._planes]


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleHead:
    """The heads of all members on the features that `backbone` gives."""

    backbone: EnsembleBackbone
    members: tuple[Member, ...]

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return self.members[0].head.classes

    @property
    def width(self) -> int:
        """How many features it needs."""
        return self.backbone.width

    def logits(self, features: Tensor) -> Tensor:
        """Float32 features `[n, width]` to the logarithm of the mean probabilities, `[n, classes]`."""
        with torch.inference_mode():
            probabilities = self.probabilities(features)
            weights = probabilities.new_tensor([member.weight for member in self.members])
            mean = torch.einsum("m,mnc->nc", weights, probabilities)
            return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()

    def probabilities(self, features: Tensor) -> Tensor:
        """Float32 features `[n, width]` to each member's own probabilities, `[members, n, classes]`."""
        with torch.inference_mode():
            return torch.stack([self._member(member, features) for member in self.members])

    def evidence(self, features: Tensor) -> Tensor:
        """What in features `[n, width]` speaks for each class, `[n, classes]`, as a function with gradients."""
        parts = zip(self.backbone.backbones, features.split(self.backbone.widths, dim=1), strict=True)
        views = VIEWS[self.backbone.views]
        return sum(
            (self.evidence_of(one, part.unflatten(1, (views, -1)).mean(1)) for one, part in parts),
            start=features.new_zeros(()),
        )

    def evidence_of(self, backbone: Backbone, features: Tensor) -> Tensor:
        """The share of it that is found by one of the networks, in its features `[n, D]`."""
        return sum(
            (one.weight / one.temperature * one.head.evidence(features) for one in self._on(backbone)),
            start=features.new_zeros(()),
        )

    def weight_of(self, backbone: Backbone) -> float:
        """How much the opinions count that stand on one of the networks."""
        return sum(member.weight for member in self._on(backbone))

    def _on(self, backbone: Backbone) -> list[Member]:
        return [member for member in self.members if member.backbone is backbone]

    def _member(self, member: Member, features: Tensor) -> Tensor:
        """A member's probabilities `[n, classes]`, a mean over the views."""
        place = self.backbone.backbones.index(member.backbone)
        own = features.split(self.backbone.widths, dim=1)[place]
        views = own.unflatten(1, (VIEWS[self.backbone.views], -1)).flatten(0, 1)
        probabilities = torch.softmax(member.head.logits(views) / member.temperature, dim=1)
        mean: Tensor = probabilities.unflatten(0, (len(features), -1)).mean(1)
        return mean


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One network that a mode looks at pictures with: what speaks for each class in its features, its picture
    `[3, crop, crop]`, and how much it counts."""

    backbone: Backbone
    evidence: Callable[[Tensor], Tensor]
    picture: Tensor
    weight: float


def parts_of(mode: Mode, picture: Tensor) -> list[Part]:
    """The networks that `mode` looks at `picture` with; all but an ensemble have one."""
    backbone, head = mode.backbone, mode.head
    if not isinstance(backbone, EnsembleBackbone) or not isinstance(head, EnsembleHead):
        return [Part(backbone, head.evidence, picture, 1.0)]
    pictures = backbone.pictures(picture.unsqueeze(0))
    return [
        Part(one, partial(head.evidence_of, one), own[0], head.weight_of(one))
        for one, own in zip(backbone.backbones, pictures, strict=True)
    ]


def together(members: Sequence[Member], views: ViewsName = "plain") -> tuple[EnsembleBackbone, EnsembleHead]:
    """The backbone and the head that answer for `members`.

    Raises:
        ModelError: a member's head does not fit its network, or has not as many classes as the others.
    """
    for number, member in enumerate(members, start=1):
        if member.head.width != member.backbone.width or member.head.classes != members[0].head.classes:
            raise ModelError(
                f"the head of its member {number} is ({member.head.classes}, {member.head.width}), which does not fit "
                f"({members[0].head.classes}, {member.backbone.width})"
            )
    backbone = EnsembleBackbone([member.backbone for member in members], views)
    return backbone, EnsembleHead(backbone, tuple(members))


def _plane(transform: Transform, views: ViewsName) -> Transform:
    """What of a picture has to be there for the views: all of its middle square for its corners, else the crop."""
    return transform.model_copy(update={"crop": transform.resize}) if views == "crops" else transform


def _views(pictures: Tensor, views: ViewsName, crop: int) -> list[Tensor]:
    """The views `[n, 3, crop, crop]` of pictures `[n, 3, side, side]`, the plain one first."""
    if views == "plain":
        return [pictures]
    if views == "flip":
        return [pictures, pictures.flip(-1)]
    far = pictures.shape[-1] - crop
    near = round(far / 2)
    places = [(near, near), (0, 0), (0, far), (far, 0), (far, far)]
    return [pictures[..., top : top + crop, left : left + crop] for top, left in places]
