"""Joining a cluster for the time of one command."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError, RayTaskError

from app.cluster.replica import NAME
from app.errors import OperatorError, PublicError

_KNOCK_S = 10


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be part of the cluster at `address` within the block; what was started there ends with it.

    Raises:
        OperatorError: there is no cluster, or what ran there failed; an error of ours is raised as it was there.
    """
    try:
        _knock(address)
        ray.init(address=address, namespace=NAME, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise OperatorError(f"There is no Ray cluster to be reached at {address}.") from error
    try:
        yield
    except RayError as error:
        raise ours(error) from error
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError: nobody listens at HOST:PORT. Ray itself would ask for minutes before it says so."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in address:
        socket.create_connection((host, int(port)), _KNOCK_S).close()


def cores() -> int:
    """How many cores the cluster has just now, at least one."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))  # type: ignore[no-untyped-call]


def ours(error: BaseException) -> Exception:
    """The error of ours that was raised there, or a sentence with the first line of what was."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OperatorError, PublicError)) and not isinstance(cause, RayTaskError):
            return cause
        last, cause = cause, getattr(cause, "cause", None) or cause.__cause__
    line = str(last).strip().partition("\n")[0].rstrip(".")
    return OperatorError(f"The cluster could not finish: {type(last).__name__}, {line}.")
