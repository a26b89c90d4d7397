"""Look the photos over before training: what is broken, doubled, contradictory, scarce, or known to the exam."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from app.config import available_cores
from app.errors import DataError, RequestError
from app.photos.dataset import Dataset, Sample
from app.photos.duplicates import Look, look_at
from app.photos.findings import Both, Finding, finding
from app.photos.repeats import Photo, Verdict, conflicts, copies, exact_leaks, lookalikes

__all__ = ["Examination", "Finding", "examine"]

TINY_SIDE = 32
FEW_PHOTOS = 10
MOST_IMBALANCE = 3

Progress = Callable[[int, int], None]
"""Called with the number of photos done and that of all."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The data to train on, and what was found."""

    dataset: Dataset
    findings: tuple[Finding, ...]


def examine(
    dataset: Dataset, *, keep_leaks: bool = False, max_pixels: int, progress: Progress | None = None
) -> Examination:
    """Decode every photo once, in threads, and take out what would do harm.

    Out of every part: what cannot be read, and classes without a training photo. Out of training: copies, photos that
    stand under two labels, and (unless `keep_leaks`) those that validation or test has too, also when saved again.

    Raises:
        DataError: fewer than two classes are left with training photos; the sentence says where they went.
    """
    examination = inspect(dataset, _looks(dataset, max_pixels, progress), keep_leaks=keep_leaks)
    if len(examination.dataset.classes) < 2:  # noqa: PLR2004 - nothing to tell apart
        reasons = " ".join(found.sentence_en for found in examination.findings)
        raise DataError(f"Training needs photos of at least two classes. {reasons}".strip())
    return examination


def inspect(dataset: Dataset, looks: Mapping[Path, Look], *, keep_leaks: bool = False) -> Examination:
    """The rules of `examine`, over photos that have been looked at; those without a look cannot be read."""
    photos = [
        Photo(part, sample, looks[sample.path])
        for part, samples in dataset.parts().items()
        for sample in samples
        if sample.path in looks
    ]
    findings = [*_unreadable(dataset, looks), *_tiny(photos), *_blurred(photos)]
    rules: list[Callable[[list[Photo]], Verdict]] = [
        conflicts,
        lambda rest: exact_leaks(rest, keep_leaks),
        copies,
        lambda rest: lookalikes(rest, dataset.classes, keep_leaks),
    ]
    for rule in rules:
        verdict = rule(photos)
        findings += verdict.findings
        photos = [photo for photo in photos if id(photo) not in verdict.removed]
    cleaned, empty = _without_empty_classes(_gathered(dataset, photos))
    findings += empty
    return Examination(cleaned, (*findings, *_scarce(cleaned)))


def _looks(dataset: Dataset, max_pixels: int, progress: Progress | None) -> dict[Path, Look]:
    """The look of each file that can be read."""
    paths = list(dict.fromkeys(sample.path for samples in dataset.parts().values() for sample in samples))

    def look(path: Path) -> Look | None:
        try:
            return look_at(path, max_pixels)
        except (RequestError, OSError):
            return None

    looks: dict[Path, Look] = {}
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="examiner") as pool:
        for done, (path, seen) in enumerate(zip(paths, pool.map(look, paths), strict=True), start=1):
            if seen is not None:
                looks[path] = seen
            if progress is not None:
                progress(done, len(paths))
    return looks


def _unreadable(dataset: Dataset, looks: Mapping[Path, Look]) -> Iterable[Finding]:
    paths = [sample.path for samples in dataset.parts().values() for sample in samples if sample.path not in looks]
    if paths:
        yield finding(
            "unreadable",
            "Left out: {photos} that cannot be read ({names}).",
            "已排除 {n} 张无法读取的图片（{names}）。",
            paths,
        )


def _tiny(photos: Iterable[Photo]) -> Iterable[Finding]:
    paths = [photo.sample.path for photo in photos if photo.look.shorter_side < TINY_SIDE]
    if paths:
        yield finding(
            "tiny",
            "Kept, though showing little: {photos} with a side below {side} pixels ({names}).",
            "有 {n} 张照片太小（边长不足 {side} 像素），看不出多少细节，仍保留（{names}）。",
            paths,
            side=TINY_SIDE,
        )


def _blurred(photos: Iterable[Photo]) -> Iterable[Finding]:
    paths = [photo.sample.path for photo in photos if photo.look.blurred]
    if paths:
        yield finding(
            "blurred",
            "Kept, but please look at them: {photos} that may be blurred ({names}). Sharp photos teach more.",
            "有 {n} 张照片可能模糊，仍保留，请检查（{names}）。清晰的照片效果更好。",
            paths,
        )


def _gathered(dataset: Dataset, photos: Iterable[Photo]) -> Dataset:
    """The dataset with these photos only."""
    kept: dict[str, list[Sample]] = {part: [] for part in dataset.parts()}
    for photo in photos:
        kept[photo.part].append(photo.sample)
    return replace(dataset, train=tuple(kept["train"]), validation=tuple(kept["validation"]), test=tuple(kept["test"]))


def _without_empty_classes(dataset: Dataset) -> tuple[Dataset, list[Finding]]:
    """The dataset without the classes that have no training photo: nothing could learn them."""
    learned = sorted({sample.label for sample in dataset.train})
    if len(learned) == len(dataset.classes):
        return dataset, []
    index = {old: new for new, old in enumerate(learned)}

    def renumbered(samples: Iterable[Sample]) -> tuple[Sample, ...]:
        return tuple(Sample(sample.path, index[sample.label]) for sample in samples if sample.label in index)

    cleaned = Dataset(
        classes=tuple(dataset.classes[label] for label in learned),
        train=renumbered(dataset.train),
        validation=renumbered(dataset.validation),
        test=renumbered(dataset.test),
        classes_zh=tuple(dataset.classes_zh[label] for label in learned) if dataset.classes_zh else (),
    )
    en, zh = "Left out: classes without a training photo ({classes}).", "已排除没有训练图片的类别（{classes}）。"
    absent = sorted(set(range(len(dataset.classes))) - set(learned))
    names = [_name(dataset, label) for label in absent]
    return cleaned, [finding("too_few", en, zh, classes=_listed(names))]


def _scarce(dataset: Dataset) -> Iterable[Finding]:
    """Classes with few training photos, and a largest class that drowns the smallest."""
    counts = Counter(sample.label for sample in dataset.train)
    few = [_counted(dataset, label, counts[label]) for label in sorted(counts) if counts[label] < FEW_PHOTOS]
    if few:
        yield finding(
            "too_few",
            "Few photos to learn from: {classes}. With {limit} or more of each class the answers get surer.",
            "照片偏少：{classes}。每个类别有 {limit} 张以上，识别会更可靠。",
            limit=FEW_PHOTOS,
            classes=_listed(few),
        )
    if not counts:
        return
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if most > MOST_IMBALANCE * least:
        yield finding(
            "imbalance",
            "{largest} has {most} photos to learn from and {smallest} {least}: "
            "with more than {limit} times as many, the smaller class is easily overlooked.",
            "“{largest}”有 {most} 张照片，“{smallest}”只有 {least} 张：相差超过 {limit} 倍时，少的类别容易被忽略。",
            largest=_name(dataset, largest),
            most=most,
            smallest=_name(dataset, smallest),
            least=least,
            limit=MOST_IMBALANCE,
        )


def _name(dataset: Dataset, label: int) -> Both:
    return Both(dataset.classes[label], (dataset.classes_zh or dataset.classes)[label])


def _counted(dataset: Dataset, label: int, count: int) -> Both:
    name = _name(dataset, label)
    return Both(f"{name.en} {count}", f"{name.zh} {count} 张")


def _listed(names: Sequence[Both]) -> Both:
    return Both(", ".join(name.en for name in names), "、".join(name.zh for name in names))
