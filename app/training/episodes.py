"""Few photos: how right each recipe is that learns from one, five or twenty photos a class, over many drawn tasks.

An episode draws some classes and some photos of each, learns from these alone, and is judged on other photos of these
classes (Vinyals et al. 2016). Every recipe meets the same episodes, so that they differ by the recipe only.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from app.config import Settings
from app.errors import DataError
from app.photos.dataset import Dataset, read_dataset
from app.photos.examination import examine
from app.serving.mode import Mode
from app.training.augmentation import augmentation
from app.training.base import forward_of, rough_forward_of
from app.training.classic import fit_classic
from app.training.device import choose_device
from app.training.evaluation import Estimate
from app.training.features import FeatureReader, Views
from app.training.head import MANNERS, Examples, fit_best, fit_with, refit
from app.training.loop import seed_of
from app.training.options import CLASSIC, Options, Recipe
from app.training.progress import SILENT, Progress
from app.vision.networks import SplitNetwork

RECIPES: tuple[Recipe, ...] = ("prototype", "knn", "svm", "head")
BESIDE: Recipe = "head"
"""What the others are compared with, on the very same episodes."""
QUERIES = 15
"""The most photos of a class that an episode is judged on, as is usual."""
_FEWEST_WAYS = 2

Answer = Callable[[Tensor], Tensor]
"""Features `[n, D]` to logits `[n, ways]`."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is drawn: `episodes` of `ways` classes for each number of `shots`, the same for the same `seed`.

    `views`: how many varied views of each photo are learned from beside the plain one. `train` takes up to 16 of so
    few; here, though, all photos of a data set are read.
    """

    episodes: int = 200
    ways: int = 5
    shots: tuple[int, ...] = (1, 5, 20)
    recipes: tuple[Recipe, ...] = RECIPES
    views: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All photos that episodes draw from: features float32 `[views, n, D]`, the plain view first; labels `[n]`."""

    features: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def members(self) -> list[list[int]]:
        """The photos of each class."""
        return [torch.nonzero(self.labels == label).flatten().tolist() for label in range(len(self.classes))]

    def examples(self, photos: Sequence[Sequence[int]]) -> Examples:
        """All views of the photos, those of each class together; the classes are numbered in order."""
        places = [place for members in photos for place in members]
        labels = [label for label, members in enumerate(photos) for _ in members]
        return Examples(self.features[:, places], torch.tensor(labels))


@dataclass(frozen=True, slots=True)
class Episode:
    """For each class drawn, the photos to learn from and those to be judged on."""

    support: tuple[tuple[int, ...], ...]
    query: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe at one number of photos. `beside_head`: by how much it was better on the same episodes."""

    shots: int
    ways: int
    recipe: Recipe
    episodes: int
    accuracy: Estimate
    beside_head: Estimate | None
    milliseconds: float


def episodes(mode: Mode, data: Path, course: Course, settings: Settings, progress: Progress = SILENT) -> dict[str, Any]:
    """What `evaluate --episodes --json` prints: every recipe on the backbone of `mode`, on the photos of `data`.

    Raises:
        DataError: there are no such photos, or too few of every class.
    """
    pool, left_out = read_pool(mode, data, course, settings, progress)
    rows: list[Row] = []
    notes = [f"Left out: {left_out} photos that cannot be read, or are there twice."] if left_out else []
    for shots in course.shots:
        ways, note = ways_of(pool, course.ways, shots)
        notes += [note] if note else []
        if ways >= _FEWEST_WAYS:
            rows += _rows(pool, ways, shots, course, progress)
    if not rows:
        raise DataError(" ".join(notes))
    return {
        "mode": mode.key,
        "version": mode.model.version,
        "backbone": mode.backbone.name,
        "classes": len(pool.classes),
        "photos": len(pool.labels),
        "views": len(pool.features),
        "seed": course.seed,
        "notes": notes,
        "rows": [asdict(row) for row in rows],
    }


def read_pool(mode: Mode, data: Path, course: Course, settings: Settings, progress: Progress) -> tuple[Pool, int]:
    """The features of all photos, of every part together, and how many photos were
    left out, for an episode must not be judged on a copy of what it learned from."""
    given = read_dataset(data, validation_share=0)
    everything = Dataset(given.classes, given.train + given.validation + given.test, (), (), given.classes_zh)
    dataset = examine(everything, max_pixels=settings.max_pixels).dataset
    transform = mode.backbone.transform
    views = Views(transform)
    if course.views:
        views = Views(transform, augmentation(Options().augmentation, transform), course.views)
    features = _reader(mode, course, settings, progress).read("episodes", dataset.train, views)
    labels = torch.tensor([sample.label for sample in dataset.train])
    return Pool(features, labels, dataset.classes), len(everything.train) - len(dataset.train)


def _reader(mode: Mode, course: Course, settings: Settings, progress: Progress) -> FeatureReader:
    """Reads photos through the mode's network as `train` would: the varied views roughly."""
    if mode.backbone.read_again is None:
        raise DataError(f"The network of {mode.key} cannot be read again: name another mode on the same backbone.")
    nothing = torch.empty(0, mode.backbone.width)
    network = SplitNetwork(mode.backbone.name, mode.backbone.read_again(), nothing, nothing[:, 0])
    device = choose_device("cpu", "auto")
    return FeatureReader(
        forward=forward_of(network, mode.backbone.transform, device),
        rough=rough_forward_of(network, mode.backbone.transform, device),
        shortest_side=mode.backbone.transform.resize,
        max_pixels=settings.max_pixels,
        seed=course.seed,
        workspace=None,
        progress=progress,
    )


def ways_of(pool: Pool, wanted: int, shots: int) -> tuple[int, str]:
    """How many classes an episode can draw, and what must be said of it; below two there can be none."""
    able = sum(len(members) > shots for members in pool.members())
    if able < _FEWEST_WAYS:
        return 0, f"{shots} photos a class are left out: fewer than two classes have more than {shots} photos."
    if able < wanted:
        reason = (
            f"only {able} of {len(pool.classes)} classes have more" if able < len(pool.classes) else "there are no more"
        )
        return able, f"With {shots} photos a class, episodes are of {able} classes: {reason}."
    return wanted, ""


def draw(pool: Pool, ways: int, shots: int, seed: int) -> Episode:
    """One episode, of classes that have a photo to spare; the same for the same `seed`."""
    generator = random.Random(seed)  # noqa: S311 - a draw, not a secret
    able = [members for members in pool.members() if len(members) > shots]
    drawn = [generator.sample(members, min(shots + QUERIES, len(members))) for members in generator.sample(able, ways)]
    return Episode(tuple(tuple(one[:shots]) for one in drawn), tuple(tuple(one[shots:]) for one in drawn))


def learn(recipe: Recipe, pool: Pool, episode: Episode, options: Options) -> Answer:
    """The recipe as `train` runs it, on the photos to learn from: all their views, a part held back to choose by, and
    in the end everything together. From one photo a class nothing can be held back, so nothing is chosen."""
    ways, everything = len(episode.support), pool.examples(episode.support)
    if recipe in CLASSIC:
        return fit_classic(everything, ways, options.model_copy(update={"recipe": recipe})).head.logits
    shots = len(episode.support[0])
    if shots == 1:
        return fit_with(everything, None, ways, options, MANNERS[0]).logits
    held = max(1, round(options.validation_share * shots))
    validation = pool.examples([one[:held] for one in episode.support])
    chosen = fit_best(pool.examples([one[held:] for one in episode.support]), validation, ways, options)
    return refit(everything, chosen, ways, options).logits


def judged(pool: Pool, episode: Episode, answer: Answer) -> float:
    """The share of the episode's other photos, in the view that serving sees, that are answered right."""
    query = pool.examples(episode.query)
    return float((answer(query.features[0]).argmax(dim=1) == query.labels).double().mean())


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean with Student's 95 % interval; at least two values."""
    mean = fmean(values)
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def _rows(pool: Pool, ways: int, shots: int, course: Course, progress: Progress) -> list[Row]:
    """One row a recipe."""
    right: dict[Recipe, list[float]] = {recipe: [] for recipe in course.recipes}
    taken: dict[Recipe, list[float]] = {recipe: [] for recipe in course.recipes}
    progress.start(f"{shots} photos a class: episodes", course.episodes)
    for number in range(course.episodes):
        seed = seed_of(course.seed, shots, number)
        episode = draw(pool, ways, shots, seed)
        for recipe in course.recipes:
            began = time.perf_counter()
            answer = learn(recipe, pool, episode, Options(seed=course.seed))
            taken[recipe].append(1000 * (time.perf_counter() - began))
            right[recipe].append(judged(pool, episode, answer))
        progress.advance()
    progress.finish()
    return [_row(recipe, ways, shots, right, median(taken[recipe])) for recipe in course.recipes]


def _row(recipe: Recipe, ways: int, shots: int, right: dict[Recipe, list[float]], milliseconds: float) -> Row:
    beside = None
    if recipe != BESIDE and BESIDE in right:
        beside = mean_of([one - other for one, other in zip(right[recipe], right[BESIDE], strict=True)])
    return Row(shots, ways, recipe, len(right[recipe]), mean_of(right[recipe]), beside, milliseconds)
