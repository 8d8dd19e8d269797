"""A simulated worker's way from start to end."""

from __future__ import annotations

import os
import threading
import time

from webui.simulator.films.command_line import parse
from webui.simulator.films.server import SimulatedWorkerServer
from webui.simulator.films.start_faults import SimulatedWorkerBoot
from webui.simulator.films.worker import SimulatedWorker
from webui.simulator.journal import Journal
from webui.simulator.log import complain, say
from webui.simulator.signals import tell_of_signals

LOOK_FOR_PARENT_S = 0.5


def run_worker(words: list[str] | None) -> int:
    # Asked first: a parent that is gone before the first look would never be missed.
    parent = os.getppid()
    settings = parse(words)
    try:
        journal = Journal(settings.journal)
    except OSError as error:
        complain(f"cannot write the journal {settings.journal}: {error.strerror}")
        return 1
    journal.start(settings.port, settings.kind)
    tell_of_signals(journal)
    threading.Thread(target=_end_with, args=(parent, journal), daemon=True).start()
    worker = SimulatedWorker(settings, journal)
    boot = SimulatedWorkerBoot(journal, settings.boot_seconds, settings.load_seconds)
    worker.switchboard.strike(boot)
    time.sleep(boot.seconds)
    if not boot.comes_up:
        boot.give_up()
    try:
        server = SimulatedWorkerServer((settings.host, settings.port), worker)
    except OSError as error:
        complain(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
        journal.end("port-taken", 1)
        return 1
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    say(f"worker listening on http://{settings.host}:{server.port} (kind {settings.kind})")
    worker.load(boot, server.port)
    serving.join()
    return 0


def _end_with(parent: int, journal: Journal) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_FOR_PARENT_S)
    complain("the process that started this worker is gone: it ends, too")
    journal.end("parent-gone", 0)
    os._exit(0)
