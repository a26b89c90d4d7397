"""Asking the service in the tests: post pictures, and check a refusal's form."""

import io

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.web.schemas import Problem


def post(client: FlaskClient, *pictures: bytes, part: str = "file", **fields: str) -> TestResponse:
    files = [(io.BytesIO(picture), f"{number}.jpg") for number, picture in enumerate(pictures)]
    return client.post("/predict", data={part: files, **fields})


def post_raw_form(client: FlaskClient, picture: bytes) -> TestResponse:
    """As `post`, without the temporary file in which werkzeug's client would keep a large form."""
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="cat.png"\r\n\r\n'
    body = head + picture + b"\r\n--edge--\r\n"
    return client.post("/predict", data=body, content_type="multipart/form-data; boundary=edge")


def refused(response: TestResponse, status: int, code: str, schema: type[Problem] = Problem) -> Problem:
    """Check a refusal's form, and return it. `schema`: where it says more than others."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    problem = schema.model_validate(response.json)
    assert (problem.status, problem.code) == (status, code)
    assert problem.request_id == response.headers["X-Request-Id"]
    return problem
