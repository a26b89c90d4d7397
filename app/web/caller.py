"""Whether whoever asked still waits for the answer."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Caller:
    """The other end of a request's connection, where the server shows it (gunicorn does)."""

    connection: socket.socket | None

    def is_there(self) -> bool:
        """False once the other end has closed; True where it cannot be told."""
        if self.connection is None:
            return True
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:  # nothing more to read: it waits
            return True
        except OSError:
            return False


def caller_of(environ: Mapping[str, Any]) -> Caller:
    """Whose request this WSGI environment is."""
    connection = environ.get("gunicorn.socket")
    can_be_peeked_at = isinstance(connection, socket.socket) and not isinstance(connection, ssl.SSLSocket)
    return Caller(connection if can_be_peeked_at else None)
