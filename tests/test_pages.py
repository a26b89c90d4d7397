"""The page without a browser: its language, its sentences, its form, and that it stands alone."""

import io
import json
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app.config import Settings
from app.serving.recogniser import Recogniser
from app.web.pages import percent
from app.web.texts import all_texts, error_sentences, texts_for

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "templates").glob("*"), *(ROOT / "static").glob("*")])
TEXTS = all_texts()
# The phases of a picture under way are keys too, chosen at run time in static/card.js.
PHASES = {"waiting", "shrinking", "sending", "looking", "retrying"}


def test_no_sentence_stands_in_two_files():
    texts = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "app/web/texts").glob("*.json")]
    assert sum(map(len, texts)) == len(TEXTS)


@pytest.fixture
def cat_jpeg(cat: Image.Image, encode: Callable[..., bytes]) -> bytes:
    return encode(cat)


def heading(client: FlaskClient, path: str = "/", **headers: str) -> str:
    html = client.get(path, headers=headers).text
    return re.search(r"<h1[^>]*>(.*?)</h1>", html).group(1)


@pytest.mark.parametrize(
    ("accept_language", "expected"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "这是什么？"),
        ("zh-Hant-TW", "这是什么？"),
        ("fr, zh;q=0.8, en;q=0.7", "这是什么？"),
        ("en-GB,en;q=0.9,zh;q=0.1", "What is this?"),
        ("fr", "What is this?"),
        ("", "What is this?"),
    ],
)
def test_the_browsers_language_is_understood(client, accept_language, expected):
    assert heading(client, **{"Accept-Language": accept_language}) == expected


def test_the_switch_outranks_the_browser_and_is_remembered(service):
    client = service.test_client()
    assert heading(client, "/?lang=zh", **{"Accept-Language": "en"}) == "这是什么？"
    assert heading(client, "/", **{"Accept-Language": "en"}) == "这是什么？"
    assert heading(client, "/?lang=en") == "What is this?"
    assert heading(client, "/?lang=tlh") == "What is this?", "an unknown language changes nothing"


def test_caches_are_told_that_the_page_has_two_languages(client):
    response = client.get("/")
    assert {"accept-language", "cookie"} <= {name.lower() for name in response.vary}
    assert response.headers["Cache-Control"] == "no-cache"


def test_every_sentence_is_there_in_both_languages_with_the_same_blanks():
    for key, sentences in TEXTS.items():
        assert set(sentences) == {"en", "zh"}, key
        assert all(sentence.strip() for sentence in sentences.values()), key
        assert blanks(sentences["en"]) == blanks(sentences["zh"]), key
        assert re.search(r"[\u3000-\u9fff\uff00-\uffef]", sentences["zh"]), f"{key} is not Chinese"
        assert not re.search(r"[,;:!?]", re.sub(r"\{\w+\}", "", sentences["zh"])), f"{key} has Latin punctuation"


def blanks(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_key_in_use_exists_and_every_key_is_in_use():
    used = set(PHASES)
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"\bsay\(\s*[\"'](\w+)[\"']", text))
        used |= set(re.findall(r"data-text(?:-[a-z-]+)?=\"(\w+)\"", text))
        used |= set(re.findall(r"\bkey: \"(\w+)\"", text))
        used |= set(re.findall(r"dataset\.text = \"(\w+)\"", text))
        used |= {key for key in TEXTS if f'"{key}"' in text or f"'{key}'" in text}
    assert used == set(TEXTS)


def test_every_error_can_be_said_by_the_page_in_both_languages():
    sentences = error_sentences()
    assert {"no_file", "too_large", "unsupported_format", "unreadable_image", "busy", "internal"} <= set(sentences)
    assert all(set(sentence) == {"en", "zh"} for sentence in sentences.values())
    assert "{limit_mb} MB" in sentences["too_large"]["en"]


def test_the_page_stands_alone():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in re.sub(r"(^|\s)//\s.*", "", text, flags=re.MULTILINE), f"{path.name} names another host"
        assert not re.search(r"\sstyle=|<style|\son\w+=", text), f"{path.name} has what the policy forbids"
        assert text.count("\n") < 300, path.name


def test_the_page_has_no_script_but_files_and_data(client):
    scripts = re.findall(r"<script([^>]*)>", client.get("/").text)
    assert len(scripts) == 2
    assert all('src="/static/' in script or 'type="application/json"' in script for script in scripts)


def test_every_file_that_the_page_names_is_served(client):
    names = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/").text)
    modules = [f"/static/{path.name}" for path in SOURCES if path.suffix == ".js"]
    for name in {*names, *modules}:
        with client.get(name) as response:
            assert response.status_code == 200, name


def test_the_data_for_the_script_is_whole(client, service: Flask):
    script = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', client.get("/").text, re.DOTALL)
    data = json.loads(script.group(1))
    settings: Settings = service.extensions["settings"]
    assert data["language"] == "en"
    assert data["texts"] == {key: said for key, said in texts_for("recognise").items() if not key.startswith("job_")}
    assert {"no_file", "busy", "not_explained", "not_saved"} <= data["errors"].keys() <= error_sentences().keys()
    assert data["limits"]["limit_mb"] == settings.max_upload_mb


def test_every_mode_can_be_chosen_with_its_own_threshold(client, service: Flask):
    html = client.get("/?lang=zh").text
    recogniser: Recogniser = service.extensions["recogniser"]
    for mode in recogniser.modes():
        option = re.search(rf'<option value="{mode.key}".*?</option>', html, re.S).group(0)
        assert f'data-threshold="{mode.threshold}"' in option
        assert mode.title_zh in option


def test_the_form_is_answered_by_a_page(client, cat_jpeg):
    response = client.post("/?lang=zh", data={"file": (io.BytesIO(cat_jpeg), "<b>cat.jpg"), "threshold": ""})
    assert response.status_code == 200
    assert response.text.count("guess-share") == 3 + 1, "three guesses, and the template of one"
    assert "&lt;b&gt;cat.jpg" in response.text
    assert "猫" in response.text


def test_the_form_names_the_group_where_only_that_is_sure(client, cat_jpeg):
    def heading_of(path):
        form = {"file": (io.BytesIO(cat_jpeg), "cat.jpg"), "threshold": "0.75", "groups": "1"}
        html = client.post(path, data=form).text
        assert 'data-state="group"' in html
        return re.search(r'<h3 class="name" tabindex="-1">([^<]+)</h3>', html).group(1).strip()

    assert heading_of("/?lang=en") == "A cat, breed unsure"
    assert heading_of("/?lang=zh") == "猫（具体种类不确定）"
    assert '<input type="hidden" name="groups" value="1">' in client.get("/").text


def test_the_page_knows_how_many_known_photos_keep_their_name(client, service: Flask):
    (kept,) = re.findall(r'data-kept="([\d,]+)"', client.get("/").text)
    accepted = service.extensions["recogniser"].mode("imagenet").accepted
    assert [int(share) / 1000 for share in kept.split(",")] == list(accepted)


def test_the_form_says_unknown_below_the_threshold(client, cat_jpeg):
    html = client.post("/", data={"file": (io.BytesIO(cat_jpeg), "cat.jpg"), "threshold": "0.99"}).text
    assert 'data-state="unknown"' in html
    assert "below 99%" in html


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({}, 400, "No picture was sent"),
        ({"file": (io.BytesIO(b"no picture"), "notes.txt")}, 415, "not a picture in a format"),
        ({"mode": "nowhere"}, 404, "no mode called"),
        ({"threshold": "seven"}, 400, "threshold"),
    ],
)
def test_the_form_answers_what_it_cannot_do_with_the_page_and_a_sentence(client, fields, status, sentence):
    response = client.post("/", data=fields, content_type="multipart/form-data", headers={"Accept": "text/html"})
    assert response.status_code == status
    assert sentence in response.text
    assert 'id="ask"' in response.text, "the form is there to try again"


def test_an_upload_beyond_the_limit_is_answered_with_the_page_too(client, service: Flask, monkeypatch):
    limit_mb = service.extensions["settings"].max_upload_mb
    monkeypatch.setitem(service.config, "MAX_CONTENT_LENGTH", 1000)
    body = {"file": (io.BytesIO(bytes(2000)), "large.jpg")}
    response = client.post("/", data=body, headers={"Accept": "text/html", "Accept-Language": "zh"})
    assert response.status_code == 413
    assert f"上传内容超过了 {limit_mb} MB 的上限" in response.text


def test_a_lost_visitor_gets_a_page_in_their_language(client):
    response = client.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8", "Accept-Language": "zh"})
    assert response.status_code == 404
    assert "这个地址没有内容" in response.text
    assert response.headers["X-Request-Id"] in response.text


def test_before_the_models_are_warm_the_page_says_so(service: Flask, monkeypatch):
    monkeypatch.setattr(service.extensions["recogniser"], "modes", list)
    response = service.test_client().get("/", headers={"Accept": "text/html"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert "starting" in response.text


@pytest.mark.parametrize(
    ("share", "threshold", "expected"),
    [
        (1.0, None, "100%"),
        (0.9999, None, ">99%"),
        (0.99, None, "99%"),
        (0.625, None, "63%"),
        (0.298, 0.3, "29.8%"),
        (0.298, 0.2, "30%"),
        (0.004, None, "<1%"),
        (0.0, None, "0%"),
    ],
)
def test_a_share_is_written_for_people(share, threshold, expected):
    assert percent(share, threshold) == expected
