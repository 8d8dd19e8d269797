"""The driver of servers that speak `/sdapi/v1`: AUTOMATIC1111's WebUI, Forge and relatives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from webui.driver import Driver, StartPlan, log_says, with_port
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.dialects import dialect_of
from webui.drivers.a1111.infotext import picture_facts
from webui.drivers.a1111.requests import request_of
from webui.drivers.a1111.resolving import find
from webui.drivers.a1111.restoring import restored_request
from webui.drivers.a1111.server import A1111Server
from webui.drivers.a1111.testimony import testimony_of, told_besides
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts
from webui.work.unit import DEFAULT_DRIVER

STARTUP_LINE: Final = b"Startup time"
"""A1111 prints it after it has added its API, so the dangerous moments are over."""


class A1111Driver:
    """See `webui.driver.Driver`."""

    name = DEFAULT_DRIVER
    title = "AUTOMATIC1111, Forge and relatives"
    kinds: Sequence[str] = ("image",)
    token_variable = ""
    repeatable = False
    request = staticmethod(request_of)
    restore = staticmethod(restored_request)
    find = staticmethod(find)
    picture_facts = staticmethod(picture_facts)
    testimony = staticmethod(testimony_of)
    told_besides = staticmethod(told_besides)
    start_words = staticmethod(with_port)

    def dialect_title(self, dialect: str) -> str:
        return dialect_of(dialect).full_title

    def start_of(self, file: Path, *, port: int, allow_modules: bool = False) -> StartPlan:
        raise ValueError(f"A WebUI has no configuration file such as {file}. Give its start command.")

    def announces_start(self, stdout_log: Path) -> bool:
        return log_says(stdout_log, STARTUP_LINE)

    def connect(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_answer_bytes: int | None = None,
    ) -> A1111Server:
        client = WebUIClient(base_url, auth=auth, timeouts=timeouts, max_answer_bytes=max_answer_bytes)
        return A1111Server(self, client)


DRIVER: Driver = A1111Driver()
