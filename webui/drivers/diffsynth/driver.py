"""The driver of DiffSynth workers: films (image to video) and edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from webui.driver import Driver, log_says, with_port
from webui.drivers.diffsynth.catalog import dialect_title, find
from webui.drivers.diffsynth.client import WorkerClient
from webui.drivers.diffsynth.requests import request_of
from webui.drivers.diffsynth.restoring import restored_request
from webui.drivers.diffsynth.server import DiffSynthServer
from webui.drivers.diffsynth.starting import start_of
from webui.drivers.diffsynth.testimony import testimony_of, told_besides
from webui.drivers.diffsynth.used import picture_facts
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts

LISTENS_LINE: Final = b"worker listening on"
"""Printed when it has bound its port; it may be asked at once, and says itself that it is loading."""


class DiffSynthDriver:
    """See `webui.driver.Driver`."""

    name = "diffsynth"
    title = "DiffSynth worker (films or edits)"
    kinds: Sequence[str] = ("i2v", "edit")
    token_variable = "STABLENEW_WORKER_TOKEN"  # noqa: S105
    repeatable = True
    request = staticmethod(request_of)
    restore = staticmethod(restored_request)
    find = staticmethod(find)
    picture_facts = staticmethod(picture_facts)
    testimony = staticmethod(testimony_of)
    told_besides = staticmethod(told_besides)
    dialect_title = staticmethod(dialect_title)
    start_of = staticmethod(start_of)
    start_words = staticmethod(with_port)

    def announces_start(self, stdout_log: Path) -> bool:
        return log_says(stdout_log, LISTENS_LINE)

    def connect(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_answer_bytes: int | None = None,
    ) -> DiffSynthServer:
        client = WorkerClient(base_url, auth=auth, timeouts=timeouts, max_answer_bytes=max_answer_bytes)
        return DiffSynthServer(self, client)


DRIVER: Driver = DiffSynthDriver()
