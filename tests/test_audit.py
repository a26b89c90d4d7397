"""`make audit` says what was looked up, what was found, and where nothing could be looked up."""

import json
import subprocess
from typing import Any

import pytest

from tools import audit

FOUND = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"]}


def run(monkeypatch: pytest.MonkeyPatch, *packages: dict[str, Any]) -> int:
    """The audit, where pip-audit says this."""
    said = json.dumps({"dependencies": packages}) if packages else "no route to host"
    answer = subprocess.CompletedProcess([], 0, stdout=said)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: answer)
    return audit.main()


def test_a_known_vulnerability_fails_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"name": "leaky", "version": "1.0", "vulns": [FOUND]}
    assert run(monkeypatch, bad, {"name": "sound", "version": "1.0", "vulns": []}) == 1
    assert "leaky 1.0: PYSEC-2026-1 (mended in 2.0)" in capsys.readouterr().out


def test_what_was_not_looked_up_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, {"name": "sound", "version": "1", "vulns": []}, {"name": "torch", "skip_reason": "+"}) == 0
    assert "Not looked up: torch." in capsys.readouterr().out


@pytest.mark.parametrize("packages", [(), ({"name": "torch", "skip_reason": "not found on PyPI"},)])
def test_with_no_data_it_passes_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], packages: tuple[dict[str, Any], ...]
) -> None:
    assert run(monkeypatch, *packages) == 0
    assert "NOT AUDITED" in capsys.readouterr().err
