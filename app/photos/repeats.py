"""The same picture more than once: copies, contradictions, and what training must not see of the exam."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.photos.dataset import Part, Sample
from app.photos.duplicates import Look, near_pairs
from app.photos.findings import Finding, finding

MOST_LOOKALIKES = 0.5
"""Above this share of a class's training photos, photos like those of the exam are frames of one scene, not leaks."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One readable photo at its place in the dataset; two lines of a list may name one file."""

    part: Part
    sample: Sample
    look: Look


@dataclass(slots=True)
class Verdict:
    """What a rule found, and the training photos it takes out, by identity."""

    findings: list[Finding] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)

    def remove(self, photos: Iterable[Photo]) -> None:
        """Take out those of `photos` that stand in training."""
        self.removed.update(id(photo) for photo in photos if photo.part == "train")


def conflicts(photos: Sequence[Photo]) -> Verdict:
    """The same file under different labels: nobody can tell which is right, so training sees neither."""
    torn = [
        photo
        for group in _groups(photos, lambda photo: photo.look.content)
        if len({photo.sample.label for photo in group}) > 1
        for photo in group
    ]
    verdict = Verdict()
    if torn:
        verdict.remove(torn)
        verdict.findings.append(
            finding(
                "conflict",
                "Left out of training: {photos} that other labels claim as well ({names}).",
                "已从训练集排除 {n} 张被标成不同类别的相同图片（{names}）。",
                _paths(torn),
            )
        )
    return verdict


def exact_leaks(photos: Sequence[Photo], keep: bool) -> Verdict:
    """The same file in two parts: taken out of training unless `keep`."""
    verdict = Verdict()
    leaked, told = [], []
    for group in _groups(photos, lambda photo: photo.look.content):
        parts = {photo.part for photo in group}
        leaked += [photo for photo in group if photo.part == "train" and len(parts) > 1]
        told += [photo for photo in group if photo.part == "test" and "validation" in parts]
    if leaked:
        verdict.findings.append(_leak(leaked, keep))
    if not keep:
        verdict.remove(leaked)
    if told:
        verdict.findings.append(_told(told))
    return verdict


def copies(photos: Sequence[Photo]) -> Verdict:
    """The same file twice in one part: training keeps the first."""
    again = [photo for group in _groups(photos, lambda photo: (photo.part, photo.look.content)) for photo in group[1:]]
    verdict = Verdict()
    verdict.remove(again)
    trained = [photo for photo in again if photo.part == "train"]
    examined = [photo for photo in again if photo.part != "train"]
    if trained:
        verdict.findings.append(
            finding(
                "exact_duplicate",
                "Left out of training: {photos} already there, byte for byte ({names}).",
                "已从训练集排除 {n} 张完全重复的图片（{names}）。",
                _paths(trained),
            )
        )
    if examined:
        verdict.findings.append(
            finding(
                "exact_duplicate",
                "Kept in validation or test, though counted more than once: {photos} ({names}).",
                "验证集或测试集中有 {n} 张完全重复的图片，会被重复计分（{names}）。",
                _paths(examined),
            )
        )
    return verdict


def lookalikes(photos: Sequence[Photo], classes: Sequence[str], keep_leaks: bool) -> Verdict:
    """The same picture in another file: saved again, resized, relit.

    Photos of different labels are only reported: a fixed camera makes a good part and a bad one look alike.
    """
    near: dict[str, dict[int, Photo]] = {"leak": {}, "told": {}, "conflict": {}, "near_duplicate": {}}
    for first, second in _near(photos):
        kind, concerned = _relation(first, second)
        near[kind].update((id(photo), photo) for photo in concerned)
    verdict = Verdict()
    leaked, scenes = _without_scenes(photos, list(near["leak"].values()))
    if leaked:
        verdict.findings.append(_leak(leaked, keep_leaks))
    if not keep_leaks:
        verdict.remove(leaked)
    verdict.findings += [_scene(classes[label], members) for label, members in scenes.items()]
    if told := list(near["told"].values()):
        verdict.findings.append(_told(told))
    if torn := list(near["conflict"].values()):
        verdict.findings.append(
            finding(
                "conflict",
                "Kept, but please look at them: {photos} that look the same and stand in different classes ({names}).",
                "有 {n} 张照片看起来相同，却在不同的类别里，仍保留，请检查（{names}）。",
                _paths(torn),
            )
        )
    if again := list(near["near_duplicate"].values()):
        verdict.findings.append(
            finding(
                "near_duplicate",
                "Kept, though teaching little new: {photos} nearly the same as another of the class ({names}).",
                "有 {n} 张照片与同类的另一张几乎一样，仍保留，但学不到多少新东西（{names}）。",
                _paths(again),
            )
        )
    return verdict


def _near(photos: Sequence[Photo]) -> Iterator[tuple[Photo, Photo]]:
    """All pairs of photos that show the same picture in different files."""
    groups = list(_groups(photos, lambda photo: photo.look.content, alone=True))
    for first, second in near_pairs([group[0].look for group in groups]):
        yield from ((one, other) for one in groups[first] for other in groups[second])


def _relation(first: Photo, second: Photo) -> tuple[str, list[Photo]]:
    """What a pair that looks the same is, and the photos concerned."""
    parts = {first.part, second.part}
    if first.sample.label != second.sample.label:
        return "conflict", [first, second]
    if len(parts) == 1:
        return "near_duplicate", [second]
    if "train" in parts:
        return "leak", [photo for photo in (first, second) if photo.part == "train"]
    return "told", [photo for photo in (first, second) if photo.part == "test"]


def _without_scenes(photos: Sequence[Photo], leaked: list[Photo]) -> tuple[list[Photo], dict[int, list[Photo]]]:
    """The leaks, and apart from them those of classes where most of training looks like the exam."""
    trained = Counter(photo.sample.label for photo in photos if photo.part == "train")
    by_label: dict[int, list[Photo]] = defaultdict(list)
    for photo in leaked:
        by_label[photo.sample.label].append(photo)
    scenes = {label: group for label, group in by_label.items() if len(group) > MOST_LOOKALIKES * trained[label]}
    return [photo for photo in leaked if photo.sample.label not in scenes], scenes


def _leak(photos: list[Photo], keep: bool) -> Finding:
    if keep:
        en = (
            "Kept as asked: {photos} in training that validation or test has too, which flatters the figures ({names})."
        )
        zh = "按要求保留了 {n} 张同时出现在验证集或测试集中的训练图片，指标会因此偏高（{names}）。"
    else:
        en = "Left out of training: {photos} that validation or test has too, a leak ({names})."
        zh = "数据泄漏：已从训练集排除 {n} 张同时出现在验证集或测试集中的图片（{names}）。"
    return finding("leak", en, zh, _paths(photos))


def _told(photos: list[Photo]) -> Finding:
    return finding(
        "leak",
        "Kept, though the test is less of a test for it: {photos} in test that validation has too ({names}).",
        "测试集中有 {n} 张图片同时出现在验证集中，仍保留，但测试结果会偏乐观（{names}）。",
        _paths(photos),
    )


def _scene(name: str, photos: list[Photo]) -> Finding:
    return finding(
        "leak",
        "Kept, because it is most of class {name}: {photos} in training almost the same as ones of validation or test, "
        "as frames of one film do; the figures will flatter ({names}).",
        "类别 {name} 的大部分训练图片（{n} 张）与验证集或测试集中的图片极为相似（如同一段视频的画面），"
        "仍保留，但指标会偏高（{names}）。",
        _paths(photos),
        name=name,
    )


def _paths(photos: Iterable[Photo]) -> list[Path]:
    return [photo.sample.path for photo in photos]


def _groups(photos: Iterable[Photo], key: Callable[[Photo], Hashable], *, alone: bool = False) -> Iterator[list[Photo]]:
    """The photos that share a key, in order; those `alone` too when asked for."""
    groups: dict[Hashable, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[key(photo)].append(photo)
    return (group for group in groups.values() if alone or len(group) > 1)
