"""`POST /predict`: what goes in, what comes out, and every refusal of a picture or a parameter by its code."""

import io
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from PIL import Image

from app.serving.recogniser import MAX_FILES
from app.web.schemas import Prediction
from tests.asking import post, post_raw_form, refused

CAT_CLASSES = range(281, 286)


def test_a_photo_in_three_true_names_out(client: FlaskClient, cat_jpeg: bytes) -> None:
    response = post(client, cat_jpeg, threshold="0.2")
    answer = Prediction.model_validate(response.json)
    result = response.json["results"][0]
    assert answer.mode == "imagenet"
    assert answer.model.name == "efficientnet_lite0"
    assert len(answer.model.sha256) == 64
    assert len(result["top"]) == 3
    assert result["top"][0]["index"] in CAT_CLASSES
    assert "猫" in result["label_zh"]
    assert result["image"] == {"format": "JPEG", "width": 451, "height": 300}
    assert result["filename"] == "0.jpg"


def test_the_answer_has_exactly_the_members_of_the_contract(client: FlaskClient, cat_jpeg: bytes) -> None:
    body = post(client, cat_jpeg).json
    assert list(body) == ["request_id", "mode", "threshold", "model", "results", "timing_ms"]
    assert {"name", "version", "sha256", "precision"} <= body["model"].keys()
    assert {"filename", "unknown", "label", "label_zh", "confidence", "top", "image"} <= body["results"][0].keys()
    assert {"index", "label", "label_zh", "confidence"} <= body["results"][0]["top"][0].keys()
    assert list(body["timing_ms"]) == ["decode", "queue", "infer", "total"]


def test_chinese_is_sent_as_chinese(client: FlaskClient, cat_jpeg: bytes) -> None:
    assert "猫" in post(client, cat_jpeg).get_data(as_text=True)


def test_the_part_may_be_called_image_and_the_body_may_be_raw(client: FlaskClient, cat_jpeg: bytes) -> None:
    by_part = post(client, cat_jpeg, part="image").json["results"][0]
    raw = client.post("/predict?top_k=1", data=cat_jpeg, content_type="image/jpeg").json["results"][0]
    assert raw["filename"] is None
    assert raw["top"][0]["index"] == by_part["top"][0]["index"]
    assert len(raw["top"]) == 1


@pytest.mark.parametrize("top_k", [1, 3, 10])
def test_top_k_lists_so_many(client: FlaskClient, cat_jpeg: bytes, top_k: int) -> None:
    assert len(post(client, cat_jpeg, top_k=str(top_k)).json["results"][0]["top"]) == top_k


def test_below_the_threshold_the_answer_is_unknown_and_still_lists_what_it_saw(
    client: FlaskClient, cat_jpeg: bytes
) -> None:
    result = post(client, cat_jpeg, threshold="1").json["results"][0]
    assert (result["unknown"], result["label"], result["label_zh"]) == (True, "unknown", "未知类别")
    assert result["top"][0]["index"] in CAT_CLASSES
    assert not post(client, cat_jpeg, threshold="0").json["results"][0]["unknown"]


def test_a_custom_mode_answers_with_its_own_labels_and_lists_no_more_than_it_has(
    client: FlaskClient, cat_jpeg: bytes
) -> None:
    body = post(client, cat_jpeg, mode="colours", threshold="0", top_k="10").json
    assert body["mode"] == "colours"
    assert body["model"]["version"] == "v1"
    assert {guess["label_zh"] for guess in body["results"][0]["top"]} == {"红", "绿", "蓝"}


def test_in_a_batch_a_bad_file_has_its_error_in_its_own_place(client: FlaskClient, cat_jpeg: bytes) -> None:
    body = post(client, cat_jpeg, b"no picture", cat_jpeg[:2000], cat_jpeg).json
    Prediction.model_validate(body)
    codes = [result.get("error", {}).get("code") for result in body["results"]]
    assert codes == [None, "unsupported_format", "unreadable_image", None]
    assert [result["filename"] for result in body["results"]] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_the_error_of_a_single_bad_file_is_the_whole_answer(client: FlaskClient, cat_jpeg: bytes) -> None:
    refused(post(client, b"no picture"), 415, "unsupported_format")
    refused(post(client, cat_jpeg[:2000]), 422, "unreadable_image")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"threshold": "1.01"}, "threshold"),
        ({"threshold": "-0.1"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"threshold": "half"}, "threshold"),
        ({"top_k": "0"}, "top_k"),
        ({"top_k": "11"}, "top_k"),
        ({"top_k": "3.5"}, "top_k"),
        ({"top_k": "9" * 5000}, "top_k"),
        ({"lang": "fr"}, "lang"),
        ({"explain": "maybe"}, "explain"),
        ({"groups": "dogs"}, "groups"),
    ],
)
def test_a_parameter_out_of_range_is_named(
    client: FlaskClient, cat_jpeg: bytes, fields: dict[str, str], named: str
) -> None:
    assert named in refused(post(client, cat_jpeg, **fields), 400, "bad_parameter").detail


def test_without_a_picture_the_answer_says_how_to_send_one(client: FlaskClient, cat_jpeg: bytes) -> None:
    refused(client.post("/predict"), 400, "no_file")
    refused(client.post("/predict", data={"mode": "imagenet"}), 400, "no_file")
    refused(client.post("/predict", data={"file": (io.BytesIO(b""), "")}), 400, "no_file")
    refused(client.post("/predict", data=b"", content_type="image/png"), 400, "no_file")
    form = "application/x-www-form-urlencoded"  # what `curl --data-binary @photo.jpg` says
    refused(client.post("/predict", data=cat_jpeg * 40, content_type=form), 400, "no_file")


@pytest.mark.parametrize("mode", ["birds", "../colours", "colours/../colours", "x\0y", "名字", "a" * 10_000])
def test_a_mode_that_is_not_there_is_404_whatever_it_spells(client: FlaskClient, cat_jpeg: bytes, mode: str) -> None:
    refused(post(client, cat_jpeg, mode=mode), 404, "unknown_mode")


def test_too_large_is_413_by_form_and_by_raw_body(client: FlaskClient) -> None:
    seventeen_mb = b"x" * (17 * 1024**2)
    assert "16 MB" in refused(post_raw_form(client, seventeen_mb), 413, "too_large").detail
    refused(client.post("/predict", data=seventeen_mb, content_type="image/jpeg"), 413, "too_large")


def test_more_pictures_than_a_request_may_hold_are_refused(client: FlaskClient) -> None:
    refused(post(client, *[b"x"] * (MAX_FILES + 1)), 413, "too_large")


def test_too_many_pixels_are_refused_by_the_header_alone(client: FlaskClient, encode: Callable[..., bytes]) -> None:
    refused(post(client, encode(Image.new("1", (8000, 8000)), "PNG")), 422, "too_many_pixels")
