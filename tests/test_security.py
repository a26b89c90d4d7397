"""What docs/SECURITY.md promises and no other test shows: hostile requests, headers everywhere, nothing kept."""

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from tests.asking import post_raw_form, refused
from tests.describing import TOKEN, admin_of, described
from tests.running import ROOT

GPS = 0x8825
SAID = {"mode": "imagenet", "version": "1", "answer": "cat", "confidence": "0.5", "label": "dog"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toy_weights: Path) -> Iterator[tuple[Flask, dict[str, str]]]:
    with described(tmp_path_factory.mktemp("models"), toy_weights) as made:
        yield made


@pytest.fixture
def admin(server: tuple[Flask, dict[str, str]]) -> FlaskClient:
    return admin_of(server[0])


HOSTILE_JSON = {
    "ten megabytes": (b'{"title_en": "' + b"x" * 10_000_000 + b'"}', 413, "too_large"),
    "a hundred thousand levels": (b"[" * 100_000, 400, "bad_parameter"),
    "objects as deep": (b'{"title_en":' * 80_000, 400, "bad_parameter"),
    "no UTF-8": (b'{"title_en": "\xff\xfe"}', 400, "bad_parameter"),
    "half a character": (b'{"title_en": "\\ud800"}', 400, "bad_parameter"),
    "not a number": (b'{"title_en": NaN}', 400, "bad_parameter"),
    "a long number": (b'{"title_en": ' + b"9" * 100_000 + b"}", 400, "bad_parameter"),
    "a list": (b"[]", 400, "bad_parameter"),
    "one member too many": (b'{"title_en": "x", "../../x": 1}', 400, "bad_parameter"),
}


@pytest.mark.parametrize("path", ["/api/albums", "/corrections", "/api/corrections/{correction_id}"])
@pytest.mark.parametrize("what", HOSTILE_JSON)
def test_hostile_json_is_refused(
    admin: FlaskClient, server: tuple[Flask, dict[str, str]], path: str, what: str
) -> None:
    body, status, code = HOSTILE_JSON[what]
    told = admin.post(path.format(**server[1]), data=body, content_type="application/json")
    refused(told, status, code)
    assert "app." not in told.text
    assert str(ROOT) not in told.text


def multipart(*parts: bytes, end: bytes = b"--edge--\r\n") -> bytes:
    return b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + end


FIELD = b'Content-Disposition: form-data; name="mode"\r\n\r\nimagenet'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nno picture'
HOSTILE_FORMS = {
    "thousands of fields": (multipart(*[FIELD] * 5000), 413, "too_large"),
    "a field of two megabytes": (multipart(FIELD + b"x" * 2_000_000), 413, "too_large"),
    "no end": (multipart(FILE, end=b""), 400, "no_file"),
    "no head of a part": (multipart(b"\r\n"), 400, "no_file"),
    "a head without an end": (b"--edge\r\n" + b"X-A: b\r\n" * 10, 400, "no_file"),
    "another boundary": (b"--other\r\n" + FILE + b"\r\n--other--\r\n", 400, "no_file"),
    "nothing": (b"", 400, "no_file"),
    "a name that leads out": (multipart(FILE.replace(b"a.jpg", b"../../../etc/passwd")), 415, "unsupported_format"),
    "a name with NUL and lines": (multipart(FILE.replace(b"a.jpg", b"a\x00\tb.jpg")), 415, "unsupported_format"),
}


@pytest.mark.parametrize("what", HOSTILE_FORMS)
def test_a_hostile_form_is_refused(client: FlaskClient, what: str) -> None:
    body, status, code = HOSTILE_FORMS[what]
    told = client.post("/predict", data=body, content_type="multipart/form-data; boundary=edge")
    assert (told.status_code, told.json["code"]) == (status, code), told.text
    refused(told, status, code)


def test_a_form_without_a_boundary_is_refused(client: FlaskClient) -> None:
    refused(client.post("/predict", data=multipart(FILE), content_type="multipart/form-data"), 400, "no_file")


NAMES = [
    "../birds",
    "..%2fbirds",
    "%2e%2e/birds",
    "birds%00",
    "birds%0aX: y",
    "birds%0d%0a",
    "%00",
    "a" * 5000,
    ".jobs",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path",
    ["/api/modes/{}", "/api/modes/{}/history", "/api/modes/birds/versions/{}/report", "/api/albums/{}", "/api/jobs/{}",
     "/api/corrections/{}", "/api/albums/bees/photos/{}", "/static/{}"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_not_found(admin: FlaskClient, path: str, name: str) -> None:
    told = admin.get(path.format(name))
    assert told.status_code in (302, 308, 404, 405), told.text
    assert "Traceback" not in told.text


def test_every_answer_carries_the_headers_that_keep_a_browser_safe(server: tuple[Flask, dict[str, str]]) -> None:
    app, names = server
    admin = admin_of(app)
    paths = [path.format(**names) for path in admin.get("/openapi.json").json["paths"]]
    pages = ["/", "/docs", "/login", "/teach", "/static/main.js", "/favicon.ico", "/nowhere", "/static/nothing"]
    for asker in (admin, app.test_client()):
        for path in [*paths, *pages]:
            for method in ("GET", "POST", "OPTIONS"):
                with asker.open(path, method=method) as answer:
                    headers = answer.headers
                assert headers["X-Content-Type-Options"] == "nosniff", path
                assert headers["Referrer-Policy"] == "no-referrer", path
                assert "geolocation=()" in headers["Permissions-Policy"], path
                policy = headers["Content-Security-Policy"]
                if policy.startswith("sandbox "):  # a report, which is a foreign file
                    assert path.endswith("/report")
                    assert "allow-same-origin" not in policy
                else:
                    assert policy.startswith("default-src 'self';"), path
                    assert "unsafe" not in policy
                    assert "frame-ancestors 'none'" in policy


def test_no_page_has_a_script_or_style_of_its_own() -> None:
    for template in (ROOT / "templates").glob("*.html"):
        text = template.read_text(encoding="utf-8")
        scripts = re.findall(r"<script[^>]*>", text)
        assert all("src=" in one or 'type="application/json"' in one for one in scripts), template
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), template


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


APP = sorted((ROOT / "app").rglob("*.py"))


def test_nothing_reads_pickle_or_runs_text() -> None:
    for path in APP:
        for module in imported(path):
            assert module.partition(".")[0] not in ("pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"), (
                path
            )
        for name, call in calls(path):
            assert name not in ("eval", "exec", "compile", "os.system", "os.popen", "yaml.load"), path
            if name in ("torch.load", "np.load", "numpy.load"):
                said = {word.arg: ast.unparse(word.value) for word in call.keywords}
                assert said.get("weights_only", said.get("allow_pickle")) in ("True", "False"), path
                assert said.get("allow_pickle") != "True", path
                assert said.get("weights_only") != "False", path
            assert not any(word.arg == "shell" for word in call.keywords), path


def test_nothing_that_serves_fetches_an_address() -> None:
    for path in APP:
        fetches = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "ftplib", "socketserver"}
        if path.name not in ("download.py",):  # weights, at set-up time, from torchvision's own address
            assert not fetches & set(imported(path)), path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def files_under(folder: Path) -> dict[str, int]:
    """All files with when they were written, but for the database, and what only holds a lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.stat().st_mtime_ns for path in files if not path.name.startswith("wanwu.db")}


def test_a_picture_to_recognise_leaves_nothing_on_the_disk(
    server: tuple[Flask, dict[str, str]], cat_jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = server
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    models = app.extensions["settings"].models_dir
    before = files_under(models)
    client = app.test_client()
    assert client.post("/predict", data=cat_jpeg + bytes(2_000_000), content_type="image/jpeg").status_code == 200
    assert post_raw_form(client, cat_jpeg + bytes(2_000_000)).status_code == 200
    sent = client.post("/corrections", data={**SAID, "request_id": "r9", "file": (io.BytesIO(cat_jpeg), "cat.jpg")})
    assert sent.json["picture"] == "not_agreed"
    assert files_under(models) == before
    assert list(tmp_path.iterdir()) == []


def with_a_place(image: Image.Image) -> bytes:
    """A JPEG that says where, when and by whom it was taken."""
    exif = Image.Exif()
    exif[0x010F], exif[0x9286] = "A CAMERA", "A COMMENT"
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 51.0, 29.9)})
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"A COMMENT")
    assert b"A CAMERA" in buffer.getvalue()
    return buffer.getvalue()


def test_whatever_is_kept_says_nothing_of_where_it_was_taken(
    server: tuple[Flask, dict[str, str]], admin: FlaskClient, cat: Image.Image
) -> None:
    app, names = server
    data = {**SAID, "request_id": "r8", "keep": "1", "file": (io.BytesIO(with_a_place(cat)), "cat.jpg")}
    assert admin.post("/corrections", data=data).json["picture"] == "kept"
    album = f"/api/albums/{names['key']}/classes/{names['class_id']}/photos"
    assert admin.post(album, data={"file": (io.BytesIO(with_a_place(cat.rotate(90))), "1.jpg")}).json["results"][0][
        "photo"
    ]
    models = app.extensions["settings"].models_dir
    kept = [*models.rglob(".feedback/pictures/*.jpg"), *models.rglob(".albums/*/*/*.jpg")]
    assert len(kept) >= 3
    for path in kept:
        with Image.open(path) as image:
            assert not image.getexif()
            assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_the_token_is_never_logged(server: tuple[Flask, dict[str, str]], caplog: pytest.LogCaptureFixture) -> None:
    app, _ = server
    client = app.test_client()
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Authorization": TOKEN}, {"X-Request-Id": TOKEN}):
        client.get(f"/api/modes?token={TOKEN}", headers=headers)
    client.post("/login", data={"token": TOKEN})
    client.get(f"/{TOKEN}")
    assert "/api/modes" in caplog.text
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(app.extensions["settings"])


def test_every_test_that_the_threat_model_names_is_there() -> None:
    text = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    for name, test in named:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert not test or re.search(rf"^def {test}\(", source, re.MULTILINE), f"{name}::{test}"
