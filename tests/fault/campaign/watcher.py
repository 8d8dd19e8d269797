"""What goes on beside the faults: a service manager that keeps `up` running, and a watcher that looks on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from tests.fault.campaign.engine import Processes
from tests.fault.campaign.evidence import digest_of, read_events
from tests.fault.campaign.installation import RESTART_PAUSE_S, Installation

TEND_S = 0.2
LOOK_S = 0.5
#: Every so many looks the new events are read.
EVENTS_EVERY = 10


class ServiceManager(threading.Thread):
    """Starts `up` again a moment after it ended, whatever else happens; and the server of others, as its owner does."""

    def __init__(self, installation: Installation, tell: Callable[[str], None]) -> None:
        super().__init__(name="service-manager", daemon=True)
        self._installation = installation
        self._tell = tell
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(TEND_S):
            if self._installation.remote_has_died():
                self._installation.start_foreign(self._installation.lineup.remote)
                self._tell("the server of others was started again")
            if self._installation.up_runs():
                continue
            if self._ending.wait(RESTART_PAUSE_S):
                return
            self._installation.start_up()
            self._tell("`up` was started again")

    def stop(self) -> None:
        self._ending.set()
        if self.is_alive():
            self.join(10)


class Watcher(threading.Thread):
    """Looks for two WebUIs on one node, and keeps events as they were soon after they were written.

    `noticed` are sentences, `seen_events` the digest of each event that was read.
    """

    def __init__(self, installation: Installation) -> None:
        super().__init__(name="watcher", daemon=True)
        self.noticed: list[str] = []
        self.seen_events: dict[int, str] = {}
        self._installation = installation
        self._processes = Processes(installation)
        self._ending = threading.Event()

    def run(self) -> None:
        looks = 0
        while not self._ending.wait(LOOK_S):
            looks += 1
            self.noticed += [words for words in self._processes.doubled() if words not in self.noticed]
            if looks % EVENTS_EVERY == 0:
                self.read()

    def read(self) -> None:
        # The database is busy or just being made: the next look reads the same.
        with suppress(Exception):
            last = max(self.seen_events, default=0)
            self.seen_events |= {
                row["id"]: digest_of(row) for row in read_events(self._installation.database.url, last)
            }

    def stop(self) -> None:
        self._ending.set()
        if self.is_alive():
            self.join(10)
