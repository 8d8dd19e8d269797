"""`manage.py serve`: the web server of this installation, in the foreground."""

from __future__ import annotations

import os
import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.core.wsgi import get_wsgi_application
from waitress.server import create_server

from jobs.supervising.gc_tuning import calm_collector
from stablenew_site.data_folder import DataFolderError, check_port, port_sentence, prepare
from stablenew_site.parent import stop_with_parent

THREADS = 8


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
                get_wsgi_application(),
                host=host,
                port=port,
                threads=THREADS,
                ident=None,
                # A proxy in front says which scheme, host and address the browser used; nobody else is believed.
                **(_behind_proxy() if settings.STABLENEW_HTTPS else {}),
            )
        except DataFolderError as exc:
            raise CommandError(str(exc)) from exc
        except OSError as exc:
            raise CommandError(port_sentence(host, port, exc)) from exc
        signal.signal(signal.SIGTERM, _leave)
        if options["with_parent"]:
            stop_with_parent(parent_pid)
        self.stdout.write(f"Serving http://{host}:{port}/ (Ctrl-C stops)")
        self.stdout.flush()
        calm_collector()
        server.run()


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
