"""The report of a version: true to the run, whole in one file, and in both languages."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from app.training.charts import Axis, Chart, Line, Words, round_ticks
from app.training.evaluation import evaluate
from app.training.page import percent
from app.training.plots import best_epoch, curve_charts
from app.training.report import REPORT_HTML, REPORT_JSON, report_files, report_json
from app.training.terminal import report_text
from tests.outcomes import CHINESE, CLASSES, drawn_outcome

MAX_PIXELS = 10**7


def page_of(folder: Path, **options: object) -> str:
    return report_files(drawn_outcome(folder, **options), max_pixels=MAX_PIXELS)[REPORT_HTML].decode()


def test_the_figures_are_those_of_the_answers(tmp_path: Path) -> None:
    outcome = drawn_outcome(tmp_path)
    facts = report_json(outcome)
    assert outcome.test is not None
    expected = evaluate(outcome.test.probabilities, outcome.test.labels, CLASSES)
    assert (facts["judged_on"], facts["test"]["n"]) == ("test", 6)
    assert facts["test"]["accuracy"] == expected.accuracy == pytest.approx(4 / 6)
    assert facts["test"]["confusion"] == expected.confusion
    assert facts["validation"]["accuracy"] == pytest.approx(6 / 9)
    assert facts["data"]["counts"] == {"train": [3, 3, 3], "validation": [3, 3, 3], "test": [2, 2, 2]}


def test_without_a_test_part_the_validation_part_judges(tmp_path: Path) -> None:
    facts = report_json(drawn_outcome(tmp_path, with_test=False))
    assert (facts["judged_on"], facts["test"]) == ("validation", None)
    assert facts["threshold"]["called_unknown"]["test"] is None


def test_mistakes_come_surest_first_and_name_no_folder_of_the_machine(tmp_path: Path) -> None:
    facts = report_json(drawn_outcome(tmp_path, with_test=False))
    assert [round(mistake["confidence"], 2) for mistake in facts["mistakes"]] == [0.95, 0.9, 0.5]
    assert facts["mistakes"][0]["file"] == "ant & bee/photo 12.png"
    assert facts["confusions"] == [{"count": 2, "truth": 1, "answer": 2}, {"count": 1, "truth": 0, "answer": 1}]
    assert str(tmp_path) not in json.dumps(facts)


def test_the_threshold_s_cost_is_the_share_below_it(tmp_path: Path) -> None:
    threshold = report_json(drawn_outcome(tmp_path, with_test=False))["threshold"]
    assert threshold["called_unknown"]["validation"] == pytest.approx(1 / 9)  # the one of confidence 0.5
    assert threshold["right_of_named"] == pytest.approx(6 / 8)
    assert threshold["curve"][0][1] == 1.0
    assert threshold["curve"][-1][1:] == (0.0, None)


def test_calibration_before_the_temperature_is_that_of_the_plain_logits(tmp_path: Path) -> None:
    outcome = drawn_outcome(tmp_path, with_test=False)
    calibration = report_json(outcome)["calibration"]
    plain = (outcome.validation.probabilities.log() * 2.0).softmax(1)
    expected = evaluate(plain, outcome.validation.labels, CLASSES).expected_calibration_error
    assert calibration["error_before"] == pytest.approx(expected, abs=1e-6)
    assert calibration["error_before"] > calibration["error_after"]


def test_the_json_file_is_the_facts(tmp_path: Path) -> None:
    outcome = drawn_outcome(tmp_path)
    written = json.loads(report_files(outcome, max_pixels=MAX_PIXELS)[REPORT_JSON])
    assert written == json.loads(json.dumps(report_json(outcome)))
    assert written["findings"][0]["zh"].startswith("1 张太小")


class Everything(HTMLParser):
    """All elements and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    for tag, attributes in Everything(page).elements:
        assert tag not in ("link", "iframe", "object")
        assert "src" not in attributes or str(attributes["src"]).startswith("data:image/jpeg;base64,")
    assert "url(" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}


def test_the_page_says_everything_in_both_languages(tmp_path: Path) -> None:
    parsed = Everything(page_of(tmp_path))
    languages = [attributes.get("lang") for tag, attributes in parsed.elements if tag in ("span", "tspan")]
    assert languages.count("en") == languages.count("zh-CN") > 50
    for words in ("My things", "我的东西", *CHINESE, "Class by class", "逐类表现", "python -m app train photos"):
        assert words in parsed.text


def test_a_class_name_is_never_markup(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_mistakes_are_shown_as_pictures_and_a_lost_one_leaves_its_frame(tmp_path: Path) -> None:
    outcome = drawn_outcome(tmp_path, with_test=False)
    outcome.validation.paths[3].unlink()
    page = report_files(outcome, max_pixels=MAX_PIXELS)[REPORT_HTML].decode()
    assert page.count('<div class="photo">') == 3
    assert page.count("<img") == 2


def test_a_run_without_epochs_has_a_report_too(tmp_path: Path) -> None:
    assert "polyline" in page_of(tmp_path, epochs=0)  # of calibration and threshold; there are no curves
    assert curve_charts(report_json(drawn_outcome(tmp_path, epochs=0))) == []


def test_the_kept_epoch_is_the_best_by_what_was_watched(tmp_path: Path) -> None:
    facts = report_json(drawn_outcome(tmp_path))
    assert best_epoch(facts) == 4
    facts["options"]["monitor"] = "val_acc"
    assert best_epoch(facts) == 6


def test_the_terminal_s_report_says_the_same(tmp_path: Path) -> None:
    text = report_text(report_json(drawn_outcome(tmp_path, with_test=False)))
    assert "things v1: 66.7% (35.4% to 87.9%) of 9 validation photos right, mean recall 66.7%." in text
    assert "Below 0.55 it says unknown: 11.1%" in text
    assert "No gain in validation loss for 2 epochs." in text
    assert "python -m app train photos --mode things" in text


def test_without_mistakes_it_says_so(tmp_path: Path) -> None:
    outcome = drawn_outcome(tmp_path, with_test=False)
    outcome.validation.probabilities.copy_(torch.eye(3)[outcome.validation.labels])
    assert "No mistake" in report_text(report_json(outcome))
    assert "在这些照片上没有出错" in report_files(outcome, max_pixels=MAX_PIXELS)[REPORT_HTML].decode()


def test_a_share_is_never_rounded_up_to_certainty() -> None:
    assert [percent(1.0), percent(0.999), percent(0.5), percent(None), percent(0.99961, 1)] == [
        "100%",
        ">99%",
        "50%",
        "–",
        ">99.9%",
    ]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.0, 1.0, [0, 0.5, 1]), (0.13, 0.62, [0, 0.2, 0.4, 0.6, 0.8]), (3.0, 3.0, [3, 4]), (1, 30, [0, 10, 20, 30])],
)
def test_ticks_are_round_and_hold_everything(low: float, high: float, ticks: list[float]) -> None:
    assert round_ticks(low, high) == pytest.approx(ticks)


def test_a_curve_that_rises_is_drawn_rising_inside_the_frame() -> None:
    axis = Axis(Words("x", "x"), 0, 10, [0, 10])
    svg = str(Chart(Words("t", "t"), axis, axis, [Line(Words("l", "l"), [(0, 0), (5, 5), (10, 10)])]).svg())
    places = [tuple(map(float, pair.split(","))) for pair in re.findall(r'points="([^"]+)"', svg)[0].split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    assert all(0 <= x <= 360 and 0 <= y <= 230 for x, y in places)


@pytest.mark.parametrize(
    ("reason", "chinese"),
    [
        (
            "no gain in validation loss for 5 epochs; the best was epoch 7",
            "验证损失连续 5 轮没有改善，最好的是第 7 轮",
        ),
        ("all 60 epochs done", "60 轮全部完成"),
        ("interrupted; the best so far was kept", "训练被中断，保留了此前最好的结果"),
        ("fitted in one step", "一步拟合完成"),
    ],
)
def test_why_it_stopped_is_said_in_chinese_too(tmp_path: Path, reason: str, chinese: str) -> None:
    outcome = replace(drawn_outcome(tmp_path), stopped_because=reason)
    assert report_json(outcome)["stopped_because"] == {"en": reason, "zh": chinese}


def test_what_was_tried_and_what_became_smaller_stands_in_the_page_and_the_terminal(tmp_path: Path) -> None:
    tried = [{"trial": 3, "figure": 0.25, "right": 0.75, "changes": {"recipe": "knn"}}]
    search = {"verdict": {"en": "Tried much.", "zh": "试了很多。"}, "folds": 5, "photos": 9, "top": tried}
    row = {"name": "pruned", "precision": "float32", "megabytes": 31.5, "milliseconds": 9.5, "right": 4, "served": True}
    row |= {"accuracy": {"value": 4 / 6, "low": 0.3, "high": 0.9}}
    smaller = {"verdict": {"en": "Worth it.", "zh": "值得。"}, "n": 6, "threads": 1, "rows": [row]}
    outcome = replace(drawn_outcome(tmp_path), search=search, smaller=smaller)
    facts = report_json(outcome)
    page = report_files(outcome, max_pixels=10**6)[REPORT_HTML].decode()
    text = report_text(facts)
    for words in ("Tried much.", "0.2500", "knn", "Worth it.", "31.50"):
        assert words in page
        assert words in text
    assert "试了很多。" in page
    assert "剪枝后" in page
