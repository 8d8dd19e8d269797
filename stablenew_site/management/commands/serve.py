"""`manage.py serve`: the web server of this installation, in the foreground."""

from __future__ import annotations

import errno
import os
import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.core.wsgi import get_wsgi_application
from waitress.server import create_server

from jobs.pages.shared_answers import share
from jobs.supervising.gc_tuning import calm_collector
from stablenew_site.data_folder import DataFolderError, check_port, port_sentence, prepare
from stablenew_site.head_requests import without_body
from stablenew_site.parent import stop_with_parent
from stablenew_site.stalled_clients import disconnect_stalled, listening_sockets
from stablenew_site.upload_limit import bound_uploads
from webui.driver import import_drivers

try:
    import resource
except ImportError:  # Windows bounds no descriptors.
    resource = None  # type: ignore[assignment]

THREADS = 8
#: A browser keeps up to six connections open between its questions; the server's own limit of 100 would let the
#: twentieth person wait for somebody else to leave.
CONNECTIONS = 4_000
#: Twice what an import of packs may hold; a larger request is not even received.
MAX_BODY_BYTES = 128 * 1024**2
#: Between two looks at all connections, for those that idle or stall.
LOOK_EVERY_S = 5
#: Kept for everything else: the database, logs, pictures that are sent.
OTHER_DESCRIPTORS = 200
#: What `accept` says where a process or its machine has no descriptor or memory left.
NOTHING_FREE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
ACCEPT_AGAIN_S = 0.2


def port_number(text: str) -> int:
    """A TCP port as an argument; anything else is a bad argument."""
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError(text)
    return port


class Command(BaseCommand):
    help = (
        "Serve the pages with a production web server until Ctrl-C. It does not run jobs: `up` runs the "
        "whole system, `run_node NAME` runs the jobs of one WebUI."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=port_number, default=8000, help="default: %(default)s")
        parser.add_argument(
            "--with-parent", action="store_true", help="stop when the process that started this one dies"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        parent_pid = os.getppid()
        host, port = str(options["host"]), int(options["port"])
        # At a name with several addresses the server itself would take those that are free, silently.
        try:
            prepare(settings.STABLENEW_DATA_DIR)
            check_port(host, port)
            server = create_server(
                without_body(get_wsgi_application()),
                host=host,
                port=port,
                threads=THREADS,
                connection_limit=connection_limit(),
                # The other way of watching connections ends at descriptor 1,023.
                asyncore_use_poll=True,
                cleanup_interval=LOOK_EVERY_S,
                max_request_body_size=MAX_BODY_BYTES,
                ident=None,
                # A proxy in front says which scheme, host and address the browser used; nobody else is believed.
                **(_behind_proxy() if settings.STABLENEW_HTTPS else {}),
            )
        except DataFolderError as exc:
            raise CommandError(str(exc)) from exc
        except OSError as exc:
            raise CommandError(port_sentence(host, port, exc)) from exc
        wait_for_descriptors(server)
        disconnect_stalled(server, settings.STABLENEW_STALL_LIMIT_S)
        bound_uploads(server)
        # Its threads answer many who look at the same queue.
        share()
        signal.signal(signal.SIGTERM, _leave)
        if options["with_parent"]:
            stop_with_parent(parent_pid)
        self.stdout.write(f"Serving http://{host}:{port}/ (Ctrl-C stops)")
        self.stdout.flush()
        import_drivers()
        calm_collector()
        server.run()


def connection_limit() -> int:
    """Connections that this process may keep open, after asking the system for as many descriptors as they need."""
    if resource is None:
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return (
        CONNECTIONS if soft == resource.RLIM_INFINITY else max(10, min(CONNECTIONS, soft - OTHER_DESCRIPTORS))
    )


def wait_for_descriptors(server: Any, sleep: Callable[[float], None] = time.sleep) -> None:
    """Let each `accept` of this server wait a moment where nothing is free to accept with.

    The connection stays waiting at the port, so the server's loop would come back at once, thousands of times a second.
    """
    for listening in listening_sockets(server):
        listening.accept = partial(_accept, listening.accept, sleep)  # type: ignore[method-assign]


def _accept(accept: Callable[[], Any], sleep: Callable[[float], None]) -> Any:
    try:
        return accept()
    except OSError as exc:
        if exc.errno in NOTHING_FREE:
            sleep(ACCEPT_AGAIN_S)
        raise


def _behind_proxy() -> dict[str, Any]:
    return {
        "trusted_proxy": "*",
        # Of the addresses only the last one counts: the proxy itself wrote it.
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"},
        "clear_untrusted_proxy_headers": True,
    }


def _leave(number: int, frame: FrameType | None) -> None:
    # The server's loop ends on it, after the requests under way.
    raise SystemExit(0)
