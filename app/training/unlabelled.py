"""Photos without labels: what a student learns from by its teacher's word alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.config import available_cores
from app.errors import DataError, RequestError
from app.photos.dataset import Dataset, Sample, content_hash
from app.photos.files import find_pictures
from app.photos.snapshot import Photo
from app.training.loss import UNLABELLED
from app.training.options import CLASSIC, Options
from app.training.progress import Progress
from app.vision.picture import decode
from app.vision.transform import Transform


def read_unlabelled(
    options: Options, dataset: Dataset, transform: Transform, max_pixels: int, progress: Progress
) -> tuple[Sample, ...]:
    """The photos of the folder that the options name, if any: one of each content, and none that `dataset` has.

    What is judged by must not be learned from, not even by a teacher's word.

    Raises:
        DataError: there are none, or nobody to say what they show.
    """
    if options.unlabelled is None:
        return ()
    if options.teacher is None or options.recipe in CLASSIC:
        raise DataError(
            "Somebody has to say what unlabelled photos show: give a --teacher, and the recipe head, staged or full."
        )
    folder = Path(options.unlabelled)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder} of unlabelled photos.")
    paths = find_pictures([folder])
    progress.start("examining unlabelled photos", len(paths))
    known = {content_hash(sample.path) for samples in dataset.parts().values() for sample in samples}
    new: dict[str, Path] = {}

    def readable(path: Path) -> bool:
        try:
            decode(path.read_bytes(), max_pixels=max_pixels, shortest_side=transform.resize)
        except (RequestError, OSError):
            return False
        return True

    with ThreadPoolExecutor(available_cores(), thread_name_prefix="examiner") as pool:
        for path, sound in zip(paths, pool.map(readable, paths), strict=True):
            if sound and (content := content_hash(path)) not in known:
                new.setdefault(content, path)
            progress.advance()
    progress.finish()
    if not new:
        raise DataError(f"There is no photo in {folder.name} that can be read and is not among the labelled ones.")
    left = len(paths) - len(new)
    progress.say(
        f"{len(new)} unlabelled photos join in; {left} were left out, as repeated, labelled already or unreadable.",
        f"{len(new)} 张无标签照片参加训练；{left} 张因重复、已有标签或无法读取而排除。",
    )
    return tuple(Sample(path, UNLABELLED) for path in new.values())


def learned_photos(samples: Sequence[Sample]) -> list[Photo]:
    """The same for `photos.csv`: a later version must not be judged on them."""
    return [Photo("train", "", content_hash(one.path), True, one.path.resolve()) for one in samples]
