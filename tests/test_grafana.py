"""The dashboard in `docs/grafana`: it can be imported, and asks for nothing that the server does not say."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from app.web import drift, metrics
from tests.asking import post

FILE = Path(__file__).resolve().parent.parent / "docs" / "grafana" / "wanwu.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS: list[str] = [target["expr"] for panel in PANELS for target in panel["targets"]]
WORDS = {"sum", "max", "by", "on", "group_left", "rate", "increase", "abs", "topk", "histogram_quantile"}
"""What PromQL means by a word of its own."""
SINCE_PROMETHEUS = {"instance"}
"""Labels that Prometheus adds."""
LABELS = {
    "wanwu_trained_share": {"mode", "version", "label"},
    "wanwu_class_drift": {"mode", "version"},
}


@pytest.fixture
def known(client: FlaskClient, cat_jpeg: bytes) -> dict[str, set[str]]:
    """The labels of each series on the page, by its name."""
    post(client, cat_jpeg, b"no picture", threshold="0")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {**found, **LABELS}


def names_in(expression: str) -> set[str]:
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"[a-zA-Z_]\w*", re.sub(r"\[[^\]]*\]", "", without_strings)))


def test_it_has_what_grafana_needs_to_import_it() -> None:
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD, "an id would overwrite somebody's dashboard"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "mode"}
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["title"]
        assert panel["description"]


def test_no_panel_lies_upon_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = set(product(columns, lines))
        assert not cells & taken, panel["title"]
        assert max(columns) < 24
        taken |= cells


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_name_in_an_expression_is_a_metric_or_a_label_of_it(expression: str, known: dict[str, set[str]]) -> None:
    assert expression.count("(") == expression.count(")")
    names = names_in(expression)
    asked = {name for name in names if name.startswith("wanwu_")}
    assert asked
    assert asked <= known.keys()
    labels = set().union(*(known[name] for name in asked)) | SINCE_PROMETHEUS | {"le"}
    assert names - asked - WORDS <= labels


def test_it_asks_for_every_metric_that_there_is() -> None:
    asked = set().union(*(names_in(expression) for expression in EXPRESSIONS))
    kinds = (Counter, Gauge, Histogram)
    ours = {one.describe()[0].name for one in vars(metrics).values() if isinstance(one, kinds)}
    ours |= {family.name for family in drift.families({}, [], Path())}
    missing = {name for name in ours if not any(one.startswith(name) for one in asked)}
    assert missing == {"wanwu_pictures_in_flight"}, "which is the sum of the queue's two states"
