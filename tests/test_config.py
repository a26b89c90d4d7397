"""Settings come from the environment, and a wrong one stops the start with one sentence."""

from pathlib import Path

import pytest

from app.config import read_settings
from app.errors import ConfigError


def test_without_a_variable_the_defaults_hold() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.max_upload_mb, settings.precision) == (
        "127.0.0.1",
        8000,
        16,
        "float32",
    )


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "THRESHOLD", "RESNET18_WEIGHTS", "RATE_LIMIT", "MODELS_DIR", "KEEP_IMAGES", "RETENTION_DAYS"):
        monkeypatch.setenv(name, "")
    settings = read_settings()
    assert settings.port == 8000
    assert settings.threshold is None
    assert settings.models_dir.name == "models"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eight"),
        ("PORT", "70000"),
        ("THRESHOLD", "1.5"),
        ("TORCH_THREADS", "0"),
        ("PRECISION", "float64"),
        ("RATE_LIMIT", "often"),
        ("RESNET18_WEIGHTS", "/nowhere/at/all.pth"),
        ("MAX_UPLOAD_MB", "-1"),
        ("KEEP_IMAGES", "perhaps"),
        ("RETENTION_DAYS", "0"),
    ],
)
def test_a_bad_value_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as failure:
        read_settings()
    assert "\n" not in str(failure.value)


def test_a_secret_is_never_shown() -> None:
    from pydantic import SecretStr

    from app.config import Settings

    assert "hush" not in repr(Settings(admin_token=SecretStr("hush")))


def test_sqlite_under_models_is_the_database_unless_one_is_given(tmp_path: Path) -> None:
    from app.config import Settings

    assert Settings(models_dir=tmp_path).database == f"sqlite:///{tmp_path / 'wanwu.db'}"
    assert Settings(database_url="postgresql://db/wanwu").database == "postgresql://db/wanwu"
