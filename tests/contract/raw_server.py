"""A server of bare sockets, for everything that a well-behaved HTTP server never does."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket], None]


class RawServer:
    """Hands each connection to one behaviour; `connections` counts them."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.connections = 0
        self.closing = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.closing.set()
        self._socket.close()
        self._thread.join(60)

    def _serve(self) -> None:
        self._socket.settimeout(0.05)
        while not self.closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                continue
            self.connections += 1
            with connection, suppress(OSError):
                connection.settimeout(60)
                self.behaviour(connection)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[RawServer]:
    server = RawServer(behaviour)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def read_request(connection: socket.socket) -> bytes:
    """Head and body of one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return data
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    # Grown in place: a request may be large, and the client counts the seconds.
    whole = bytearray(body)
    while len(whole) < length and (received := connection.recv(65536)):
        whole += received
    return head + b"\r\n\r\n" + whole


def reset(connection: socket.socket) -> None:
    """End it with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def full_backlog() -> Iterator[str]:
    """An address where the handshake never finishes because nobody accepts and the queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(4):
                client = socket.socket()
                waiting.append(client)
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            for client in waiting:
                client.close()
