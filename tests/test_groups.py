"""The answer one level up: the best group's sum, when it is named, and that nothing changes for who does not ask."""

import numpy as np
import pytest
import torch
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from app.serving.groups import GROUP_THRESHOLD, NAMELESS, GroupGuess, best_group
from app.vision.labels import imagenet_labels, plain_label
from app.web.schemas import Prediction
from tests.asking import post


def test_the_best_group_is_the_one_of_the_largest_sum() -> None:
    labels = imagenet_labels()
    probabilities = torch.randn(1000, generator=torch.Generator().manual_seed(2)).mul(3).softmax(dim=0)
    names = np.array([label.group for label in labels])
    sums = {name: probabilities.numpy()[names == name].sum() for name in set(names) - {NAMELESS}}
    guess = best_group(probabilities, labels)
    assert guess is not None
    assert guess.group == max(sums, key=sums.__getitem__)
    assert guess.confidence == pytest.approx(max(sums.values()), abs=1e-5)


def test_what_belongs_to_no_other_group_is_never_the_answer() -> None:
    labels = imagenet_labels()
    assert NAMELESS in {label.group for label in labels}
    probabilities = torch.tensor([float(label.group == NAMELESS) for label in labels])
    guess = best_group(probabilities / probabilities.sum(), labels)
    assert guess is not None
    assert guess.confidence == 0


def test_a_mode_without_groups_has_none() -> None:
    assert best_group(torch.tensor([0.6, 0.4]), [plain_label("ant"), plain_label("bee")]) is None


@pytest.mark.parametrize(("threshold", "reaches"), [(0.3, True), (0.85, True), (0.95, False)])
def test_a_group_has_to_be_as_sure_as_a_class_would_and_never_less_than_80_percent(
    threshold: float, reaches: bool
) -> None:
    assert GroupGuess("dog", "狗", 0.9).reaches(threshold) == reaches
    assert not GroupGuess("dog", "狗", GROUP_THRESHOLD - 0.001).reaches(threshold)


def test_not_sure_which_cat_but_of_a_cat_it_says_so(client: FlaskClient, cat_jpeg: bytes) -> None:
    body = post(client, cat_jpeg, threshold="0.75", groups="1").json
    Prediction.model_validate(body)
    (result,) = body["results"]
    assert (result["unknown"], result["level"]) == (False, "group")
    assert (result["label"], result["label_short"], result["label_zh"]) == ("cat", "cat", "猫")
    assert result["confidence"] == result["group"]["confidence"] >= GROUP_THRESHOLD
    assert result["sureness"] == result["top"][0]["confidence"] < 0.75
    schema = {**client.get("/openapi.json").json, "$ref": "#/components/schemas/Prediction"}
    Draft202012Validator(schema).validate(body)


def test_sure_of_the_class_it_names_that_and_of_neither_it_says_unknown(client: FlaskClient, cat_jpeg: bytes) -> None:
    (sure,) = post(client, cat_jpeg, threshold="0.2", groups="1").json["results"]
    assert (sure["unknown"], sure["level"], sure["label"]) == (False, "class", sure["top"][0]["label"])
    (unsure,) = post(client, cat_jpeg, threshold="1", groups="1").json["results"]
    assert (unsure["unknown"], unsure["level"], unsure["label"]) == (True, None, "unknown")


def test_a_taught_mode_answers_as_ever(client: FlaskClient, cat_jpeg: bytes) -> None:
    body = post(client, cat_jpeg, mode="colours", threshold="1", groups="1").json
    (result,) = body["results"]
    assert (result["unknown"], result["level"], result["group"]) == (True, None, None)
    schema = {**client.get("/openapi.json").json, "$ref": "#/components/schemas/Prediction"}
    Draft202012Validator(schema).validate(body)


@pytest.mark.parametrize("groups", [None, "0"])
def test_who_does_not_ask_is_told_of_no_group(client: FlaskClient, cat_jpeg: bytes, groups: str | None) -> None:
    fields = {} if groups is None else {"groups": groups}
    (result,) = post(client, cat_jpeg, threshold="0.75", **fields).json["results"]
    assert (result["unknown"], result["label"]) == (True, "unknown")
    assert not {"level", "group"} & result.keys()
