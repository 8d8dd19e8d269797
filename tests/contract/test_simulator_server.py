"""The simulator's server on its socket."""

import socket
from typing import Any

from webui.simulator.endpoints import all_endpoints
from webui.simulator.journal import Journal
from webui.simulator.server import Server
from webui.simulator.simulation import Settings, Simulation


class _Observed(Server):
    """Answers one connection in the thread that asks for it, and keeps what its socket was told."""

    sends_at_once = False

    def process_request(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.sends_at_once = bool(request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.shutdown_request(request)


def test_answers_do_not_wait_for_delayed_acknowledgements() -> None:
    """That alone would be 40 ms for each."""
    settings = Settings(port=0)
    simulation = Simulation(
        settings, all_endpoints(settings.dialect, server_stop_allowed=False), Journal(None)
    )
    with (
        _Observed(("127.0.0.1", 0), simulation, api_ready=True) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(b"GET /sdapi/v1/progress HTTP/1.0\r\n\r\n")
        server.handle_request()
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert server.sends_at_once
