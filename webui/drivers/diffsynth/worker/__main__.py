"""`python -m webui.drivers.diffsynth.worker`: listens at once, then loads.

python -m webui.drivers.diffsynth.worker --config FILE --port N [--host 127.0.0.1] [--allow-modules] [--with-parent]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from webui.drivers.diffsynth.worker.command_line import TOKEN_VARIABLE, parse_arguments
from webui.drivers.diffsynth.worker.configuration import WorkerConfiguration, read_configuration, told_kind
from webui.drivers.diffsynth.worker.drawing import LoadedPipeline
from webui.drivers.diffsynth.worker.ending import leave_on_signals, leave_with_parent, leaver
from webui.drivers.diffsynth.worker.folder import WorkerFolder
from webui.drivers.diffsynth.worker.routes import Routes
from webui.drivers.diffsynth.worker.server import WorkerServer
from webui.drivers.diffsynth.worker.speech import Announcement, say
from webui.drivers.diffsynth.worker.worker import Worker


def main() -> int:
    parent = os.getppid()
    arguments = parse_arguments(sys.argv[1:])
    token = os.environ.pop(TOKEN_VARIABLE, "")
    if not token:
        print(f"Set {TOKEN_VARIABLE} to a secret that whoever asks this worker knows.", file=sys.stderr)
        return 2
    _forbid_downloads()
    announcement = Announcement()
    try:
        server = WorkerServer(arguments.host, arguments.port, token)
        folder = WorkerFolder()
    except OSError as exc:
        say(f"cannot start on {arguments.host}:{arguments.port}: {exc.strerror or exc}")
        return 1
    leave = leaver(folder)
    leave_on_signals(leave)
    if arguments.with_parent:
        leave_with_parent(parent, leave)
    kind = told_kind(arguments.config)
    worker = Worker(
        kind,
        lambda: read_configuration(arguments.config, allow_modules=arguments.allow_modules),
        _build,
        folder,
        leave,
    )
    server.routes = Routes(worker)
    announcement.make(f"worker listening on {server.url} (kind {kind or 'unknown'})")
    worker.start()
    server.serve_forever()
    return 0


def _forbid_downloads() -> None:
    """Before anything of a library is imported: they read it once."""
    os.environ["DIFFSYNTH_SKIP_DOWNLOAD"] = "True"
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"


def _build(configuration: WorkerConfiguration, enter: Callable[[str], None]) -> LoadedPipeline:
    # Imports torch, which takes seconds: the worker answers meanwhile.
    enter("import")
    if configuration.shim:
        __import__(configuration.shim)
    from webui.drivers.diffsynth.worker.pipeline import build

    return build(configuration, enter)


if __name__ == "__main__":
    sys.exit(main())
