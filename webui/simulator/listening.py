"""The socket on which a simulated server of any kind listens."""

from __future__ import annotations

import socketserver
import sys
import traceback

from webui.simulator.log import complain


class ListeningServer(socketserver.ThreadingTCPServer):
    """A thread per connection; they end with the process. Making one binds the port, or raises OSError."""

    daemon_threads = True
    allow_reuse_address = True

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to tell of; anything else is a mistake in the simulator."""
        if not isinstance(sys.exception(), OSError):
            complain(traceback.format_exc().rstrip())
