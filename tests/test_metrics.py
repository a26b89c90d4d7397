"""What `/metrics` says, by stage, precision, mode, version and code; the classes named, and how far from training."""

import shutil
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from flask import Flask
from flask.testing import FlaskClient
from scipy.spatial.distance import jensenshannon

from app.serving.mode import Mode
from app.vision.labels import plain_label
from app.web import drift, metrics
from tests.asking import post
from tests.conftest import write_head
from tests.measuring import samples, total, write_photos

FRUIT = ["apple", "pear", "plum"]


@pytest.fixture(scope="module")
def fruit(service: Flask) -> Iterator[Mode]:
    """A mode that was taught with 60 apples, 30 pears and 10 plums, and of which no answer is counted yet."""
    metrics.ANSWERS.clear()  # the counters are the process's, and tests/cluster runs these tests in it, too
    metrics._names.clear()
    models, recogniser = service.extensions["settings"].models_dir, service.extensions["recogniser"]
    version = write_head(models, "fruit", recogniser.mode("imagenet"), FRUIT)
    write_photos(version, apple=60, pear=30, plum=10)
    recogniser.manager.refresh()
    yield recogniser.mode("fruit")
    shutil.rmtree(models / "fruit")
    recogniser.manager.refresh()


@pytest.fixture
def page(client: FlaskClient) -> Callable[[], str]:
    return lambda: client.get("/metrics").text


def named(mode: Mode, **answers: int) -> None:
    """Count so many answers of each class."""
    labels = [label.label for label in mode.labels]
    for label, number in answers.items():
        result = {"unknown": False, "top": [{"index": labels.index(label)}]}
        metrics.observe(mode, [result] * number, {})


def test_every_stage_can_be_told_apart_by_mode_version_and_precision(
    client: FlaskClient, page: Callable[[], str], cat_jpeg: bytes
) -> None:
    def seen(stage: str, mode: str) -> float:
        labels = {"stage": stage, "mode": mode, "version": "v1", "precision": "float32"}
        return total(page(), "wanwu_stage_seconds_count", **labels)

    before = [seen(stage, "colours") for stage in ("decode", "queue", "infer", "total")]
    assert post(client, cat_jpeg, mode="colours").status_code == 200
    assert [seen(stage, "colours") for stage in ("decode", "queue", "infer", "total")] == [one + 1 for one in before]


def test_a_bad_picture_is_counted_by_its_code_alone_and_among_others(
    client: FlaskClient, page: Callable[[], str], cat_jpeg: bytes
) -> None:
    def refused() -> float:
        labels = {"mode": "colours", "version": "v1", "code": "unsupported_format", "outcome": "unsupported_format"}
        return total(page(), "wanwu_pictures_total", **labels)

    before = refused()
    assert post(client, b"no picture", mode="colours").status_code == 415
    assert post(client, b"no picture", cat_jpeg, mode="colours").status_code == 200
    assert refused() == before + 2


def test_what_is_unknown_is_counted_and_is_no_class(
    client: FlaskClient, page: Callable[[], str], cat_jpeg: bytes
) -> None:
    def counted() -> tuple[float, float]:
        text = page()
        return (
            total(text, "wanwu_pictures_total", mode="colours", outcome="unknown", code=""),
            total(text, "wanwu_answers_total", mode="colours"),
        )

    before = counted()
    assert post(client, cat_jpeg, mode="colours", threshold="1").json["results"][0]["unknown"]
    assert not post(client, cat_jpeg, mode="colours", threshold="0").json["results"][0]["unknown"]
    assert counted() == (before[0] + 1, before[1] + 1)


def test_every_class_of_a_small_mode_is_there_from_its_first_answer_on(
    client: FlaskClient, page: Callable[[], str], cat_jpeg: bytes
) -> None:
    post(client, cat_jpeg, mode="colours")
    there = {one.labels["label"] for one in samples(page()) if one.name == "wanwu_answers_total"}
    assert {"red", "green", "blue"} <= there


def test_a_thousand_classes_are_counted_by_their_groups(
    client: FlaskClient, page: Callable[[], str], cat_jpeg: bytes
) -> None:
    answer = post(client, cat_jpeg, threshold="0").json["results"][0]
    labels = {
        one.labels["label"]
        for one in samples(page())
        if one.name == "wanwu_answers_total" and one.labels["mode"] == "imagenet"
    }
    assert answer["top"][0]["group"] in labels
    assert answer["label"] not in labels
    assert len(labels) <= drift.MAX_CLASSES


def test_a_large_mode_without_groups_has_no_class_mix() -> None:
    large: Any = SimpleNamespace(labels=tuple(plain_label(f"class {number}") for number in range(51)))
    assert drift.class_names(large) == ()
    assert drift.class_name(large, 3) is None


def test_past_the_most_versions_no_class_makes_a_new_series(
    fruit: Mode, page: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_names", {("cars", f"v{number}") for number in range(metrics.MAX_VERSIONS)})
    before = len(samples(page()))
    for version in ("v7", "v8", "v9"):
        model = SimpleNamespace(version=version, precision="float32")
        later: Any = SimpleNamespace(key="later", model=model, labels=fruit.labels)
        named(later, apple=2)
    assert {one.labels["version"] for one in samples(page()) if one.labels.get("mode") == "later"} == {"other"}
    assert len(samples(page())) <= before + 4


def test_the_drift_is_scipy_s_distance_of_the_answers_from_the_training_photos(
    fruit: Mode, page: Callable[[], str]
) -> None:
    shares = {one.labels["label"]: one.value for one in samples(page()) if one.name == "wanwu_trained_share"}
    assert shares == {"apple": 0.6, "pear": 0.3, "plum": 0.1}, "photos to judge by do not count"

    def shown() -> list[float]:
        return [one.value for one in samples(page()) if one.name == "wanwu_class_drift"]

    named(fruit, apple=10, plum=89)
    assert shown() == [], "99 answers say nothing yet"
    named(fruit, plum=1)
    assert shown() == pytest.approx([jensenshannon([10, 0, 90], [60, 30, 10], base=2)])


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_scipy_s(seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    one, other = (generator.dirichlet([0.3] * 20) for _ in range(2))
    one[:5] = 0
    one /= one.sum()
    assert drift.jensen_shannon(one.tolist(), other.tolist()) == pytest.approx(jensenshannon(one, other, base=2))


def test_the_distance_is_0_for_the_same_and_1_for_nothing_in_common() -> None:
    assert drift.jensen_shannon([0.5, 0.5], [0.5, 0.5]) == 0
    assert drift.jensen_shannon([1, 0], [0, 1]) == 1


def test_a_version_that_does_not_say_its_photos_has_no_drift(page: Callable[[], str]) -> None:
    assert not [one for one in samples(page()) if one.name == "wanwu_trained_share" and one.labels["mode"] == "colours"]
