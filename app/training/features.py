"""The frozen backbone's features of every photo, computed once for each view and kept."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from app.config import available_cores
from app.errors import DataError, RequestError
from app.training.dataset import Sample
from app.training.loop import seed_of
from app.training.progress import Progress
from app.training.state import Workspace
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

    About 1200 in all, so that the time on two cores stays the same from 75 to 300 photos; at least 4, at most 16.
    """
    return min(max(round(1200 / max(photos, 1)), 4), 16)


@dataclass(frozen=True, slots=True)
class FeatureReader:
    """Reads photos through `forward` (float32 `[n, 3, crop, crop]` to `[n, D]`)."""

    forward: Forward
    shortest_side: int
    max_pixels: int
    seed: int
    workspace: Workspace | None
    progress: Progress
    tag: str = ""
    """Marks what is kept of another network's features; the views of a part are the same for every tag."""

    def read(self, name: str, samples: Sequence[Sample], views: Views) -> Tensor:
        """Features float32 `[1 + views.count, n, D]` of `samples`; `name` is the part's, for progress and resuming."""
        self.progress.start(f"{self.tag}{name}: features", len(samples))
        chunks = []
        with ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder") as pool, torch.random.fork_rng([]):
            starts = range(0, len(samples), CHUNK)
            known = {start: self._known(name, start) for start in starts}
            waiting = [sample for index, sample in enumerate(samples) if known[index - index % CHUNK] is None]
            images = decoded([sample.path for sample in waiting], self.max_pixels, self.shortest_side, pool)
            for start in starts:
                size = min(CHUNK, len(samples) - start)
                chunk = known[start]
                if chunk is None:
                    chunk = self._chunk(name, start, list(islice(images, size)), views)
                chunks.append(chunk)
                self.progress.advance(size)
        self.progress.finish()
        return torch.cat(chunks, dim=1)

    def _chunk(self, name: str, start: int, images: Sequence[Image.Image], views: Views) -> Tensor:
        seeds = (seed_of(self.seed, name, start + index) for index in range(len(images)))
        pictures = torch.cat([views.of(image, seed) for image, seed in zip(images, seeds, strict=True)])
        features = torch.cat([self.forward(batch) for batch in pictures.split(BATCH)]).cpu()
        chunk: Tensor = features.unflatten(0, (len(images), -1)).transpose(0, 1).contiguous()
        if self.workspace:
            self.workspace.save(f"{self.tag}{name}-{start}.features", {"features": chunk})
        return chunk

    def _known(self, name: str, start: int) -> Tensor | None:
        state = self.workspace.load(f"{self.tag}{name}-{start}.features") if self.workspace else None
        known: Tensor | None = None if state is None else state["features"]
        return known


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
