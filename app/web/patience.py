"""gunicorn's threaded worker, which lets slow clients go before they hold all of its threads.

A client may send its request a byte at a time, for ever, and as its stock has it, each holds a thread. Here none is
given one before the head of its request has come; whoever then keeps a thread waiting for the body must send at a rate,
and sooner while many do so; who takes no answer, or does not hang up, is left. Imports neither torch nor Flask.
"""

import select
import socket
import threading
import time
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

HEAD_S = 10.0
"""Within this the head of a request must have come."""
_LONGEST_HEAD = 65536
"""Bytes. A longer head, which gunicorn mostly refuses, is read by a thread, with patience as for a body."""
PATIENT = (10.0, 8 * 1024)
HURRIED = (1.0, 64 * 1024)
"""How long a body may keep a thread waiting, in seconds, and the bytes that earn a second more; while many do so."""
_CROWD = 4
"""Many: one thread in four waits for a body."""
TAKE_S = 30.0
"""Within this a piece of the answer must have been taken."""
LINGER_S = 2.0
"""How long a client may take to hang up, once it has been answered for the last time."""
_STEP_MS = 250


class Crowd:
    """How many threads wait for a body, of `threads`."""

    def __init__(self, threads: int) -> None:
        self._most = max(1, threads // _CROWD)
        self._waiting = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._waiting += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._waiting -= 1

    def patience(self) -> tuple[float, int]:
        """What a client may have now: `PATIENT` or `HURRIED`."""
        return HURRIED if self._waiting > self._most else PATIENT


class PatientSocket(socket.socket):
    """A client's connection. `ran_out`: it was too slow, and is read no further."""

    _crowd: Crowd

    @classmethod
    def instead_of(cls, other: socket.socket, crowd: Crowd) -> "PatientSocket":
        """The same connection."""
        made = cls(other.family, other.type, other.proto, fileno=other.detach())
        made._crowd = crowd
        made.begin()
        return made

    def begin(self) -> None:
        """The client has all of its time again: for a request's head, or its body."""
        self._got = 0
        self._waited_s = 0.0
        self.ran_out = False

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As usual; but nothing, as if the client had hung up, once it is too slow."""
        if flags:
            return super().recv(size, flags)
        try:
            data = b"" if self.ran_out else super().recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            data = self._wait_for(size)
        self._got += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ANN401 - whatever a socket takes
        """As usual, for `TAKE_S` at most; then as if the client had hung up."""
        self._sent(super().sendall, data, flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:  # noqa: ANN401
        """As usual, for `TAKE_S` at most without a byte being taken; then as if the client had hung up."""
        sent: int = self._sent(super().sendfile, file, offset, count)
        return sent

    def _wait_for(self, size: int) -> bytes:
        """What comes next, within the client's time."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        with self._crowd:
            while not self._is_too_slow():
                began = time.monotonic()
                ready = poll.poll(_STEP_MS)
                self._waited_s += time.monotonic() - began
                if ready:
                    return super().recv(size, socket.MSG_DONTWAIT)
        self.ran_out = True
        return b""

    def _is_too_slow(self) -> bool:
        seconds, rate = self._crowd.patience()
        return self._waited_s > seconds + self._got / rate

    def _sent(self, send: Any, *arguments: Any) -> Any:  # noqa: ANN401
        self.settimeout(TAKE_S)
        try:
            return send(*arguments)
        except TimeoutError as error:
            raise BrokenPipeError from error
        finally:
            if self.fileno() != -1:
                self.setblocking(True)


class PatientWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's own, but for who is given a thread, and for how long."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._crowd = Crowd(self.cfg.threads)
        self._lingering: set[TConn] = set()

    def enqueue_req(self, conn: TConn) -> None:
        """Give the connection a thread if the head of a request has come; else wait for that."""
        try:
            if self.cfg.is_ssl:  # what has come cannot be read here
                super().enqueue_req(conn)
                return
            if not isinstance(conn.sock, PatientSocket):
                conn.sock = PatientSocket.instead_of(conn.sock, self._crowd)
            seen = _seen(conn)
            if seen is None:
                _wake_at(conn, 1)
                conn.data_ready, conn.waits = True, False
                super().enqueue_req(conn)
                return
            conn.sock.setblocking(False)
            _wake_at(conn, seen + 1)
            if not getattr(conn, "waits", False):
                conn.waits, conn.timeout = True, time.monotonic() + HEAD_S
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        except OSError:  # it has hung up
            self._drop(conn)

    def handle(self, conn: TConn) -> Any:  # noqa: ANN401 - as gunicorn has it
        """In a thread: answer a request; a connection that was too slow is not kept."""
        if isinstance(conn.sock, PatientSocket):
            conn.sock.begin()
        kept = super().handle(conn)
        return False if getattr(conn.sock, "ran_out", False) else kept

    def handle_request(self, req: Any, conn: TConn) -> Any:  # noqa: ANN401
        """In a thread: answer a request whose head was read."""
        if isinstance(conn.sock, PatientSocket):
            conn.sock.begin()
        return super().handle_request(req, conn)

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """After an answer: gunicorn's own would wait here, where all connections are, for the client to hang up."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):
            self._drop(conn)
        else:
            conn.timeout = time.monotonic() + LINGER_S
            self._lingering.add(conn)

    def murder_pending(self) -> None:
        """About once a second: let go whoever has had their time."""
        now = time.monotonic()
        for conns in (self.pending_conns, self._lingering):
            for conn in [conn for conn in conns if conn.timeout <= now]:
                conns.remove(conn)
                self._drop(conn, listened=True)

    def _cap_keepalive(self, deadline: float) -> None:
        """As the worker stops: neither does it wait long for a request that has not come."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _drain(self, conn: TConn, client: socket.socket) -> None:
        """Read what the client still sends, so that the kernel does not take the answer back; until it hangs up."""
        try:
            data = client.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lingering.discard(conn)
            self._drop(conn, listened=True)

    def _drop(self, conn: TConn, *, listened: bool = False) -> None:
        if listened:
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


def _seen(conn: TConn) -> int | None:
    """How many bytes of a head have come; None once it is whole, longer than usual, or the client has hung up."""
    read = conn.parser.unreader.buf.getvalue() if conn.parser is not None else b""
    try:
        come = conn.sock.recv(_LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None if b"\r\n\r\n" in read else 0
    is_whole = not come or b"\r\n\r\n" in read + come or len(come) >= _LONGEST_HEAD
    return None if is_whole else len(come)


def _wake_at(conn: TConn, count: int) -> None:
    """Let the kernel call only when so many bytes lie there; a client that hangs up is heard of all the same."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
