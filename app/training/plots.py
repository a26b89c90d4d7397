"""Which charts a report has, from its facts."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from app.training.charts import Axis, Chart, Line, Words, round_ticks

_EPOCH = Words("epoch", "轮次")
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def curve_charts(facts: dict[str, Any]) -> list[Markup]:
    """Loss, accuracy and learning rate over the epochs; none where nothing was iterated."""
    history = facts["history"]
    if not history:
        return []
    stages = [
        (place + 0.5, "stage")
        for place in range(1, len(history))
        if history[place]["stage"] != history[place - 1]["stage"]
    ]
    marks = [*stages, (float(best_epoch(facts)), "kept")]

    def chart(title: Words, names: dict[str, tuple[Words, str]], write: Callable[[float], str]) -> Markup:
        lines = [
            Line(words, [(place, record[key]) for place, record in enumerate(history, 1)], style)
            for key, (words, style) in names.items()
        ]
        values = [y for line in lines for _, y in line.points]
        ticks = round_ticks(min(values), max(values))
        y = Axis(title, ticks[0], ticks[-1], ticks, write)
        x = Axis(_EPOCH, 1, max(len(history), 2), _whole_ticks(len(history)))
        return Chart(title, x, y, lines, marks=marks).svg()

    return [
        chart(
            Words("Loss", "损失"),
            {
                "train_loss": (Words("training", "训练"), "line soft"),
                "validation_loss": (Words("validation", "验证"), "line"),
            },
            "{:g}".format,
        ),
        chart(
            Words("Right, of the validation photos", "验证照片的正确率"),
            {"validation_accuracy": (Words("", ""), "line")},
            lambda value: f"{value * 100:g}%",
        ),
        chart(Words("Learning rate", "学习率"), {"learning_rate": (Words("", ""), "line")}, "{:g}".format),
    ]


def best_epoch(facts: dict[str, Any]) -> int:
    """The epoch (from 1, over all stages) that was best by the figure that was watched."""
    history = facts["history"]
    if facts["options"].get("monitor") == "val_acc":
        return 1 + max(range(len(history)), key=lambda place: history[place]["validation_accuracy"])
    return 1 + min(range(len(history)), key=lambda place: history[place]["validation_loss"])


def calibration_chart(facts: dict[str, Any]) -> Markup:
    """The reliability diagram (Guo et al. 2017): how often the mode was right where it was that sure."""
    bins = [one for one in facts[facts["judged_on"]]["reliability"] if one["count"]]
    return Chart(
        Words("Sure, and right", "把握与正确率"),
        Axis(Words("how sure it was", "模型的把握"), 0, 1, _QUARTERS, "{:.0%}".format),
        Axis(Words("How often it was right", "实际正确率"), 0, 1, _QUARTERS, "{:.0%}".format),
        [Line(Words("", ""), [(0, 0), (1, 1)], "line ideal")]
        + [Line(Words("", ""), [(one["confidence"], one["accuracy"])], "line") for one in bins],
        bars=[(one["low"], one["high"], one["accuracy"]) for one in bins],
        labels=False,
    ).svg()


def threshold_chart(facts: dict[str, Any]) -> Markup:
    """What each threshold would cost: the share of photos that keep a name, and how many of the names are right."""
    threshold = facts["threshold"]
    curve: Sequence[tuple[float, float, float | None]] = threshold["curve"]
    return Chart(
        Words("What a threshold costs", "阈值的代价"),
        Axis(Words("threshold", "阈值"), 0, 1, _QUARTERS, "{:.0%}".format),
        Axis(Words("Share of the photos", "照片比例"), 0, 1, _QUARTERS, "{:.0%}".format),
        [
            Line(Words("photos that keep a name", "给出名称的照片"), [(x, named) for x, named, _ in curve], "line"),
            Line(
                Words("names that are right", "其中正确的"),
                [(x, right) for x, _, right in curve if right is not None],
                "line soft",
            ),
        ],
        marks=[(threshold["value"], "kept")],
        labels=False,
    ).svg()


def _whole_ticks(count: int) -> list[float]:
    """Epoch numbers to write: the first, the last, and round ones between that do not touch them."""
    if count <= 1:
        return [1]
    between = [tick for tick in round_ticks(0, count) if count * 0.1 < tick < count * 0.9 and tick == int(tick)]
    return [1, *between, count]
