"""`/openapi.json` and the server agree: Schemathesis draws requests from the one, and holds the other to its answers.

It sends the document's examples, every edge of every parameter, and some that are drawn: right ones, which have to be
answered as described, and wrong ones, which have to be refused as described. What is drawn is the same each time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from app.web.openapi_examples import EXAMPLES
from tests.describing import TOKEN, admin_of, described

pytestmark = [
    pytest.mark.slow,
    # werkzeug's client keeps a large form in a file that it does not close.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
DRAWN = 8
"""Requests drawn for an operation on what is there, instead of the edges of every parameter."""


@schemathesis.serializer("application/zip")
def _bytes(_: object, value: object) -> bytes:
    """A zip is sent as it was drawn: as bytes of no meaning."""
    return value if isinstance(value, bytes) else str(value).encode()


ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "429"]
NO_PICTURE = ["413", "415", "422"]
"""How random bytes are refused where a picture, a zip or a model belongs: no schema can say what one is."""
MORE_THAN_A_SCHEMA_SAYS = (
    "createAlbum", "renameAlbum", "addClass", "renameClass", "addClassToMode", "correct",  # a name must be visible
    "listCorrections",  # a page begins after what the page before said
    "reviewCorrection",  # a relabelling needs a label, and a revision of 3.0 is none
    "infer", "inferVersion",  # a tensor has as many values as its shape says, and a picture is one
    "predict", "tryVersion", "sendPhotos",  # a file without name and content is a field left empty
)  # fmt: skip


@schemathesis.serializer("application/zip")
def as_it_is(_: object, value: Any) -> bytes:
    """A part of a form that is a zip, or is not."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toy_weights: Path) -> Iterator[tuple[Flask, dict[str, str]]]:
    with described(tmp_path_factory.mktemp("models"), toy_weights) as made:
        yield made


def config(names: dict[str, str]) -> SchemathesisConfig:
    """`names`: what the parameters in paths are; those not named are drawn."""
    acceptance = {"expected-statuses": [*ACCEPTED, *NO_PICTURE]}
    lenient = {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, *NO_PICTURE, "400"]}}
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "parameters": {f"path.{name}": value for name, value in names.items()},
            "generation": {"max-examples": DRAWN, "deterministic": True, "no-shrink": True},
            "phases": {
                "stateful": {"enabled": False},
                "coverage": {"enabled": not names},
                "fuzzing": {"enabled": bool(names)},
            },
            "checks": {
                "missing_required_header": {"enabled": False},  # it asks for 401; the contract says 403
                "ignored_auth": {"enabled": False},  # it cannot ask an application in its own process; see below
                "positive_data_acceptance": acceptance,
            },
            "operations": [
                {"include-operation-id": operation, "checks": lenient} for operation in MORE_THAN_A_SCHEMA_SAYS
            ],
        }
    )


def run(schema: Any) -> tuple[list[str], set[str]]:
    """What failed, and the operations that were answered with success at least once."""
    failures, succeeded = [], set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            for checks in event.recorder.checks.values():
                for check in checks:
                    if check.failure_info is not None:
                        what = check.failure_info
                        failures.append(f"{event.recorder.label}: {what.failure}\n{what.code_sample[:500]}")
            answers = [one.response for one in event.recorder.interactions.values() if one.response is not None]
            if any(answer.status_code < 300 for answer in answers):
                succeeded.add(str(event.recorder.label))
        elif isinstance(event, events.NonFatalError):
            failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return failures, succeeded


def test_whatever_is_asked_is_answered_as_described(server: tuple[Flask, dict[str, str]]) -> None:
    app, _ = server
    failures, _ = run(schemathesis.openapi.from_wsgi("/openapi.json", app, config=config({})))
    assert not failures, "\n\n".join(failures)


def test_whatever_is_asked_of_something_that_is_there_is_answered_as_described(
    server: tuple[Flask, dict[str, str]],
) -> None:
    app, names = server
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config(names))
    # The mode and its versions are called as in the document's examples, with which the test above has met them.
    failures, succeeded = run(
        schema.include(path_regex=r"\{(key|job_id|correction_id)\}", method=["GET", "POST", "PATCH"])
    )
    assert not failures, "\n\n".join(failures)
    assert len(succeeded) > 8, succeeded


def test_every_example_of_an_answer_is_one(server: tuple[Flask, dict[str, str]]) -> None:
    document = admin_of(server[0]).get("/openapi.json").json
    for name, example in EXAMPLES.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(example)
    told = str(document["paths"])
    assert all(f"'#/components/schemas/{name}'}}, 'example': " in told for name in EXAMPLES)


def test_what_needs_the_administrator_says_so_and_nothing_else_does(server: tuple[Flask, dict[str, str]]) -> None:
    app, names = server
    stranger = app.test_client()
    for path, methods in stranger.get("/openapi.json").json["paths"].items():
        for method in methods.keys() - {"parameters"}:
            code = (stranger.open(path.format(**names), method=method.upper()).json or {}).get("code")
            assert ("security" in methods[method]) == (code == "forbidden"), (path, method)
