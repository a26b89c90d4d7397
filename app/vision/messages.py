"""What the server and its decoders tell one another: words as JSON, and bytes. No pickle, which runs what it reads.

A message is two lengths, the words and the bytes. What a decoder sends is not trusted: the server says how much it
takes.
"""

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("!IQ")
_MOST_WORDS = 65_536


def send(to: socket.socket, words: dict[str, Any], content: bytes | memoryview) -> None:
    """Send a message; a `memoryview` is of bytes.

    Raises:
        OSError: the other end has gone, or does not read (TimeoutError).
    """
    text = json.dumps(words).encode()
    to.sendall(_LENGTHS.pack(len(text), len(content)) + text)
    to.sendall(content)


def receive(sender: socket.socket, most: int | None = None) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None where the other end has closed. `most`: bytes of content that are taken.

    Raises:
        OSError: it broke off (ConnectionError), is late (TimeoutError), or longer than agreed.
        ValueError: its words are no JSON.
    """
    first = sender.recv(_LENGTHS.size)
    if not first:
        return None
    head = first + _exactly(sender, _LENGTHS.size - len(first))
    words, content = _LENGTHS.unpack(head)
    if words > _MOST_WORDS or (most is not None and content > most):
        raise ConnectionError("a message is longer than agreed")
    text = _exactly(sender, words)
    return json.loads(text), _exactly(sender, content)


def _exactly(sender: socket.socket, count: int) -> bytes:
    if sender.gettimeout() is None:  # one call, no copy
        content = sender.recv(count, socket.MSG_WAITALL) if count else b""
        if len(content) < count:
            raise ConnectionError("a message broke off")
        return content
    room, got = bytearray(count), 0
    with memoryview(room) as view:
        while got < count:
            more = sender.recv_into(view[got:])
            if not more:
                raise ConnectionError("a message broke off")
            got += more
    return bytes(room)
