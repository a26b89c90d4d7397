"""The frozen backbone's features of every photo, computed once for each view and kept."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from app.config import available_cores
from app.errors import DataError, RequestError
from app.photos.dataset import Sample
from app.training.loop import seed_of
from app.training.progress import Progress
from app.training.state import Shelf
from app.vision.picture import decode

View = Callable[[Image.Image], Tensor]
Forward = Callable[[Tensor], Tensor]

CHUNK = 16
"""Photos between two marks that a killed run goes on from."""
BATCH = 32
_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Views:
    """`plain` is what serving sees; `varied` draws a new view each time, `count` of them from each photo."""

    plain: View
    varied: View | None = None
    count: int = 0

    def of(self, image: Image.Image, seed: int) -> Tensor:
        """All views of one photo, the plain one first: float32 `[1 + count, 3, crop, crop]`."""
        views = [self.plain(image)]
        if self.varied is not None:
            torch.manual_seed(seed)
            views += [self.varied(image) for _ in range(self.count)]
        return torch.stack(views)


def views_for(photos: int) -> int:
    """How many varied views of each photo are worth their time: many where photos are few.

    About 2000 in all, so that the time on two cores stays the same from 125 to 500 photos; at least 4, at most 16.
    """
    return min(max(round(2000 / max(photos, 1)), 4), 16)


@dataclass(frozen=True, slots=True)
class FeatureReader:
    """Reads photos through `forward` (float32 `[n, 3, crop, crop]` to `[n, D]`)."""

    forward: Forward
    shortest_side: int
    max_pixels: int
    seed: int
    workspace: Shelf | None
    progress: Progress
    rough: Forward | None = None
    """Reads the varied views, where given: quicker than `forward`, and exact enough for what is drawn at random."""
    tag: str = ""
    """Marks what is kept of another network's features; the views of a part are the same for every tag."""

    def read(self, name: str, samples: Sequence[Sample], views: Views) -> Tensor:
        """Features float32 `[1 + views.count, n, D]` of `samples`; `name` is the part's, for progress and resuming."""
        self.progress.start(f"{self.tag}{name}: features", len(samples))
        chunks = []
        with ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder") as pool, torch.random.fork_rng([]):
            known = {start: self._known(name, start) for start in range(0, len(samples), CHUNK)}
            missing = [range(start, min(start + CHUNK, len(samples))) for start in known if known[start] is None]
            paths = [samples[index].path for chunk in missing for index in chunk]
            images = decoded(paths, self.max_pixels, self.shortest_side, pool)
            pictures = one_ahead(lambda chunk: self._pictures(name, chunk, images, views), missing)
            for start, features in known.items():
                chunk = self._features(name, start, next(pictures), views) if features is None else features
                chunks.append(chunk)
                self.progress.advance(chunk.shape[1])
        self.progress.finish()
        return torch.cat(chunks, dim=1)

    def _pictures(self, name: str, chunk: range, images: Iterator[Image.Image], views: Views) -> Tensor:
        """All views of the photos of one chunk, float32 `[photos x views, 3, crop, crop]`."""
        seeds = [seed_of(self.seed, name, index) for index in chunk]
        return torch.cat([views.of(next(images), seed) for seed in seeds])

    def _features(self, name: str, start: int, pictures: Tensor, views: Views) -> Tensor:
        plain, varied = pictures.unflatten(0, (-1, 1 + views.count)).transpose(0, 1).split([1, views.count])
        features = [_through(self.forward, plain)]
        if views.count:
            features.append(_through(self.rough or self.forward, varied))
        chunk = torch.cat(features)
        if self.workspace:
            self.workspace.save(f"{self.tag}{name}-{start}.features", {"features": chunk})
        return chunk

    def _known(self, name: str, start: int) -> Tensor | None:
        state = self.workspace.load(f"{self.tag}{name}-{start}.features") if self.workspace else None
        known: Tensor | None = None if state is None else state["features"]
        return known


def _through(forward: Forward, pictures: Tensor) -> Tensor:
    """Pictures `[views, photos, 3, crop, crop]` to features `[views, photos, D]`."""
    features = torch.cat([forward(batch) for batch in pictures.flatten(0, 1).split(BATCH)]).cpu()
    shaped: Tensor = features.unflatten(0, pictures.shape[:2])
    return shaped


def one_ahead(make: Callable[[range], Tensor], chunks: Iterable[range]) -> Iterator[Tensor]:
    """What `make` makes of the chunks, in order, each made in a thread while the one before it is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming: deque[Future[Tensor]] = deque()
        for chunk in chunks:
            coming.append(pool.submit(make, chunk))
            if len(coming) > 1:
                yield coming.popleft().result()
        for last in coming:
            yield last.result()


def decoded(
    paths: Sequence[Path], max_pixels: int, shortest_side: int, pool: ThreadPoolExecutor
) -> Iterator[Image.Image]:
    """The photos in order, upright RGB, decoded a little ahead of the one that is asked for.

    Raises:
        DataError: one cannot be read, though the examination could.
    """
    remaining = iter(paths)
    ahead: deque[tuple[Path, Future[Image.Image]]] = deque()
    while True:
        for path in islice(remaining, _AHEAD - len(ahead)):
            ahead.append((path, pool.submit(_decode, path, max_pixels, shortest_side)))
        if not ahead:
            return
        path, future = ahead.popleft()
        try:
            image = future.result()
        except (RequestError, OSError) as error:
            raise DataError(f"The photo {path.name} could be read before, and cannot any more.") from error
        yield image


def _decode(path: Path, max_pixels: int, shortest_side: int) -> Image.Image:
    return decode(path.read_bytes(), max_pixels=max_pixels, shortest_side=shortest_side).image
