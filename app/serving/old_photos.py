"""The photos that a version was made from, as far as they are still there: a few of each class, and their features."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest

import torch
from torch import Tensor

from app.config import available_cores
from app.errors import RequestError
from app.photos.dataset import Part
from app.photos.snapshot import Photo
from app.serving.batching import MAX_BATCH
from app.serving.mode import Mode
from app.vision.decoders import decode_crop


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos with their features `[n, width]`."""

    photos: tuple[Photo, ...]
    features: Tensor


def some_of(photos: Iterable[Photo], most: int) -> list[Photo]:
    """At most so many, as many of each class as may be; always the same, since contents decide."""
    by_class: dict[str, list[Photo]] = {}
    for photo in sorted(photos, key=lambda photo: photo.sha256):
        by_class.setdefault(photo.label, []).append(photo)
    turns = zip_longest(*(by_class[label] for label in sorted(by_class)))
    return [photo for photo in chain.from_iterable(turns) if photo is not None][:most]


def held_out_part(photos: Iterable[Photo]) -> tuple[Part | None, list[Photo]]:
    """Photos that the weights know nothing of: the test part, else of the validation part what was not learned from."""
    unknown = [photo for photo in photos if not photo.learned]
    for part in ("test", "validation"):
        found = [photo for photo in unknown if photo.part == part]
        if found:
            return part, found
    return None, []


def seen(mode: Mode, photos: Sequence[Photo], max_pixels: int) -> Seen:
    """Those that still hold what they held, with their features."""
    contents = [_content(photo) for photo in photos]
    there = [(photo, data) for photo, data in zip(photos, contents, strict=True) if data is not None]
    tensors = _tensors(mode, [data for _, data in there], max_pixels)
    read = [(photo, tensor) for (photo, _), tensor in zip(there, tensors, strict=True) if tensor is not None]
    return Seen(tuple(photo for photo, _ in read), _features(mode, [tensor for _, tensor in read]))


def features_of(mode: Mode, contents: Sequence[bytes], max_pixels: int) -> tuple[Tensor, Tensor]:
    """The features `[n, width]` of pictures that can be read, and those of the same mirrored."""
    tensors = [tensor for tensor in _tensors(mode, contents, max_pixels) if tensor is not None]
    return _features(mode, tensors), _features(mode, [tensor.flip(-1) for tensor in tensors])


def _content(photo: Photo) -> bytes | None:
    return photo.path.read_bytes() if photo.is_there() else None


def _tensors(mode: Mode, contents: Sequence[bytes], max_pixels: int) -> list[Tensor | None]:
    transform = mode.backbone.transform

    def tensor(data: bytes) -> Tensor | None:
        try:
            return transform.joined(decode_crop(data, transform, max_pixels=max_pixels).pixels)
        except RequestError:
            return None

    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder") as pool:
        return list(pool.map(tensor, contents))


def _features(mode: Mode, tensors: list[Tensor]) -> Tensor:
    if not tensors:
        return torch.empty(0, mode.backbone.width)
    starts = range(0, len(tensors), MAX_BATCH)
    return torch.cat([mode.backbone.features(torch.stack(tensors[start : start + MAX_BATCH])) for start in starts])
