"""`manage.py run_node NAME`: run one node's jobs, and keep its WebUI alive, until told to stop."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django_q.conf import Conf

from jobs.cli import text_argument
from jobs.errors import NodeError
from jobs.queue.signing_key import prove_key
from jobs.queue.wakeup import cluster_name
from jobs.supervising.supervisor import NodeSupervisor
from webui.checks import SETTINGS
from webui.driver import import_drivers
from webui.models import Node
from webui.typed_command import typed


class Command(BaseCommand):
    requires_system_checks = (SETTINGS,)
    help = (
        "Runs the jobs of one node, one at a time, and keeps its WebUI alive. TERM or Ctrl-C: no new job; the "
        "running one may finish for --drain seconds, then it is interrupted and queued again at the head. "
        "A second TERM interrupts at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name", type=text_argument, help=f"The node's name, as `{typed('node list')}` shows it."
        )
        parser.add_argument(
            "--drain",
            type=float,
            default=settings.STABLENEW_DRAIN_S,
            metavar="SECONDS",
            help="How long the running job may go on after TERM (default: %(default)g).",
        )
        parser.add_argument("--stop-webui", action="store_true", help="Stop the WebUI that it started, too.")
        parser.add_argument(
            "--new-key", action="store_true", help="The secret key of this host is the new one of all hosts."
        )
        parser.add_argument(
            "--with-parent", action="store_true", help="Drain and leave when the parent process ends."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        node = Node.objects.filter(name=options["name"]).first()
        if node is None:
            raise CommandError(
                f"There is no node {options['name']!r}. `{typed('node list')}` shows them, `node add` makes one."
            )
        if sys.platform == "win32":
            raise CommandError("run_node needs Linux: Windows can serve the pages, not run a node.")
        # django-q2 read it from the environment when it was imported, before the node was known.
        Conf.CLUSTER_NAME = cluster_name(node.name)
        # Before anything forks: the forks find every driver in their memory.
        import_drivers()
        supervisor = NodeSupervisor(
            node,
            drain_s=options["drain"],
            stop_webui=options["stop_webui"],
            with_parent=options["with_parent"],
        )
        try:
            prove_key(adopt=options["new_key"])
            status = supervisor.run()
        except NodeError as exc:
            raise CommandError(str(exc)) from exc
        sys.exit(status)
