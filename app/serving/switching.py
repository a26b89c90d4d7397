"""Another version into service, once it is sure that it can be served."""

from app.config import Settings
from app.registry.state import Event, activate
from app.serving.served import served_mode


def promote(models: Settings, mode: str, version: str, *, by: str, why: str, forced: bool = False) -> Event:
    """Make `version` the active one of `mode`.

    Raises:
        ModelError: it cannot be served.
    """
    served_mode(f"{mode}@{version}", models)
    return activate(models.models_dir / mode, version, action="promote", by=by, why=why, forced=forced)
