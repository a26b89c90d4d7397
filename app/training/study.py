"""The database of a search's trials: a file of the run, or any that Optuna knows, where several work together."""

import hashlib
import json
import warnings

import optuna
from optuna.exceptions import OptunaError
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.errors import DataError
from app.training.options import Options

FORMAT = 1
"""Raised whenever old trials say nothing of new ones."""
MEDIAN_OF = 5
"""So many must have finished before others are held against their median."""
HEARTBEAT_S = 10
_BUSY_S = 60
_SYSTEMS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


class NothingToJoin(DataError):
    """There is no such search, or not yet."""

    def __init__(self) -> None:
        super().__init__("There is no search of these photos with these options to join: start one without --join.")


def name_of(photos: str, backbone: str, base: Options, folds: int) -> str:
    """The study's name: the same for all who may work on it together."""
    identity = [FORMAT, photos, backbone, folds, base.seed, base.monitor, *sorted(base.model_fields_set)]
    given = {name: getattr(base, name) for name in base.model_fields_set}
    text = json.dumps([*identity, given], sort_keys=True, default=str)
    return "wanwu-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def open_study(url: str, name: str, *, join: bool) -> optuna.Study:
    """The study of that name, made where there is none, unless one is to be joined.

    Raises:
        DataError: the database cannot be used, or there is no such study to join.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = MedianPruner(n_startup_trials=MEDIAN_OF)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats are called experimental since 2021
            storage = RDBStorage(
                _address(url),
                engine_kwargs={"connect_args": {"timeout": _BUSY_S}} if url.startswith("sqlite") else {},
                heartbeat_interval=HEARTBEAT_S,
                grace_period=3 * HEARTBEAT_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=2),
            )
        if join:
            return optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        return optuna.create_study(study_name=name, storage=storage, pruner=pruner, load_if_exists=True)
    except KeyError as error:
        raise NothingToJoin from error
    except (OptunaError, SQLAlchemyError, ImportError, ValueError) as error:
        raise DataError(f"The study cannot be used: {first_line(error)}.") from error


def _address(url: str) -> str:
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        return url  # Optuna says what is wrong with it
    return parsed.set(drivername=_SYSTEMS.get(parsed.drivername, parsed.drivername)).render_as_string(False)


def first_line(error: Exception) -> str:
    """What an error of the database says, without its details."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")
