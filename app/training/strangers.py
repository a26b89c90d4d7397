"""Pictures that show none of a mode's classes: folders of anything, or what people said to be none of these."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.config import available_cores
from app.errors import DataError, RequestError
from app.photos.dataset import Sample
from app.photos.files import find_pictures
from app.training.progress import Progress
from app.vision.picture import decode

_NO_CLASS = -1
FEWEST_STRANGERS = 10
_SHORTEST_SIDE = 64
"""To see whether a picture can be read it need not be read in full."""


def pictures_of(places: Sequence[Path], max_pixels: int, progress: Progress) -> tuple[Sample, ...]:
    """Every picture at `places`, files or folders however deep, that can be read and has at most `max_pixels`.

    Raises:
        DataError: there are too few to judge by.
    """
    if not places:
        return ()
    paths = find_pictures(places)
    progress.start("unknown pictures", len(paths))

    def is_readable(path: Path) -> bool:
        try:
            decode(path.read_bytes(), max_pixels=max_pixels, shortest_side=_SHORTEST_SIDE)
        except (OSError, RequestError):
            return False
        return True

    readable = []
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder") as pool:
        for path, is_sound in zip(paths, pool.map(is_readable, paths), strict=True):
            readable += [Sample(path, _NO_CLASS)] if is_sound else []
            progress.advance()
    progress.finish()
    if len(readable) < FEWEST_STRANGERS:
        names = ", ".join(place.name for place in places)
        raise DataError(f"Only {len(readable)} pictures in {names} can be read; give at least {FEWEST_STRANGERS}.")
    return tuple(readable)
