"""The simulator's way from start to end."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time

from webui.simulator import boot_faults, command_line, tracebacks
from webui.simulator.boot_faults import SimulatedBoot
from webui.simulator.endpoints import all_endpoints
from webui.simulator.journal import Journal
from webui.simulator.log import complain, say
from webui.simulator.server import SimulatedServer
from webui.simulator.signals import tell_of_signals
from webui.simulator.simulation import Settings, Simulation

HOST = "127.0.0.1"
FRAGILE_SECONDS = 0.4


def main(words: list[str] | None = None) -> int:
    """A worker of films or edits where `--kind` names one, else a WebUI."""
    kind = command_line.kind_of(words)
    if kind:
        # Only here: a WebUI needs none of its libraries, and starts sooner without them.
        from webui.simulator.films.start import run_worker

        return run_worker(words)
    return _run_webui(words)


def _run_webui(words: list[str] | None) -> int:
    started_at = time.monotonic()
    settings = command_line.parse(words)
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(0))
    say(f"Launching Web UI with arguments: --api --port {settings.port} (a simulator: it only draws)")
    try:
        journal = Journal(settings.journal)
    except OSError as error:
        complain(f"cannot write the journal {settings.journal}: {error.strerror}")
        return 1
    journal.start(settings.port)
    tell_of_signals(journal)
    endpoints = all_endpoints(
        settings.dialect,
        server_stop_allowed=settings.api_server_stop,
        has_adetailer=settings.installed.adetailer,
    )
    simulation = Simulation(settings, endpoints, journal)
    boot = SimulatedBoot(journal, settings.boot_seconds)
    simulation.switchboard.strike(boot)
    time.sleep(boot.seconds)
    if not boot.comes_up:
        boot_faults.give_up(journal)
    try:
        server = SimulatedServer((HOST, settings.port), simulation, api_ready=not settings.fragile_start)
    except OSError as error:
        journal.end("port-taken", 1)
        return _port_refused(settings.port, error)
    _serve(server, simulation, settings, started_at)
    return 0


def _serve(server: SimulatedServer, simulation: Simulation, settings: Settings, started_at: float) -> None:
    simulation.stop_listening = server.server_close
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    say(f"Running on local URL:  http://{HOST}:{server.port}")
    if settings.fragile_start:
        time.sleep(FRAGILE_SECONDS)
        if server.was_asked_too_early and settings.dialect.dies_of_early_requests:
            complain(tracebacks.EARLY_REQUEST)
            simulation.journal.end("early-request", 1)
            os._exit(1)
        server.api_ready = True
    simulation.journal.ready(server.port)
    say(f"Startup time: {time.monotonic() - started_at:.1f}s (simulated boot: {settings.boot_seconds:.1f}s).")
    if settings.dialect.loads_at_start:
        simulation.checkpoints.wait_until_loaded(simulation.options.checkpoint)
    serving.join()


def _port_refused(port: int, error: OSError) -> int:
    if error.errno == errno.EADDRINUSE:
        complain(
            f"OSError: Cannot find empty port in range: {port}-{port}. You can specify a different port "
            "by setting --port; 0 takes any free one."
        )
    else:
        complain(f"OSError: cannot listen on {HOST}:{port}: {error.strerror}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
