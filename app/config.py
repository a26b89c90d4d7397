"""The settings: the only place that reads the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from limits import parse_many
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where `templates/`, `static/` and `models/` stand."""


def available_cores() -> int:
    """The number of processor cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_folder() -> Path | None:
    """What the workers of this server share, a folder that gunicorn.conf.py makes; None where there is one worker."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None


def names_a_store() -> bool:
    """Whether the operator has set MODELS_STORE, for those who would rather read no settings where it is not."""
    return bool(os.environ.get("MODELS_STORE"))


def set_library_defaults() -> None:
    """Set what the C library reads as a process starts, for those started from here, where the operator has not.

    glibc would keep freed memory apart for each of the server's many threads: 100 MB under load.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")


def environment_of_one_thread() -> dict[str, str]:
    """The environment for a process of ours whose arithmetic is small: no library in it starts threads."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Settings(BaseSettings):
    """What the operator may choose, one environment variable each (`HOST`, `PORT`, …); immutable once read."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    resnet18_weights: Path | None = None
    models_dir: Path = ROOT / "models"
    models_store: str | None = None
    database_url: str | None = None
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    torch_threads: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=available_cores)
    """How much is decoded and computed at once; gunicorn.conf.py shares it out among several workers."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    max_upload_mb: Annotated[int, Field(ge=1, le=1024)] = 16
    max_pixels: Annotated[int, Field(ge=1_000, le=1_000_000_000)] = 50_000_000
    max_queue: Annotated[int, Field(ge=1, le=10_000)] = 64
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    admin_token: SecretStr | None = None
    admin_loopback: bool = False
    keep_images: bool = False
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    rate_limit: str | None = None
    log_format: Literal["text", "json"] = "text"
    engine: Literal["local", "ray"] = "local"
    ray_address: str = "auto"

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str | None) -> str | None:
        """Refuse what the `limits` library cannot read; it understands "60/minute" or "10/second;500/hour"."""
        if value is not None:
            try:
                parse_many(value)
            except ValueError as error:
                raise ValueError("must read like 60/minute") from error
        return value

    @field_validator("resnet18_weights")
    @classmethod
    def _is_a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("must be the path of an existing file")
        return value

    @property
    def database(self) -> str:
        """The database's address: SQLite under `models_dir` unless one is given."""
        return self.database_url or f"sqlite:///{self.models_dir / 'wanwu.db'}"


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigError: a variable's value is wrong; the sentence names the first such variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        shown = "" if name == "ADMIN_TOKEN" else f" (it is {first['input']!r})"
        raise ConfigError(
            f"The setting {name} is wrong{shown}: {first['msg'].removeprefix('Value error, ')}."
        ) from error
