"""The simulated server as one object: settings, state, queue, faults, journal; requests in, answers out.

No sockets in here: `server` reads requests from them and writes the answers.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.simulator import log
from webui.simulator.answers import (
    EscapedError,
    InvalidFieldsError,
    RefusedRequestError,
    SimulatedAnswer,
    method_not_allowed,
    not_found,
)
from webui.simulator.arrival import Arrival
from webui.simulator.catalog import Installed, SimulatedCatalog
from webui.simulator.checkpoints import Checkpoints
from webui.simulator.dialects import A1111, Dialect
from webui.simulator.fault_rules import Rule
from webui.simulator.faults import Point, strike
from webui.simulator.fields import Schema
from webui.simulator.generation import Studio
from webui.simulator.journal import Journal
from webui.simulator.options import Options
from webui.simulator.state import State
from webui.simulator.switchboard import Switchboard
from webui.simulator.turns import Tasks, Turns

WORKER_THREADS = 40
"""The real server answers from this many threads: as many waiting jobs block every other endpoint."""


@dataclass(frozen=True)
class Settings:
    """What the command line asked for; seconds are real seconds."""

    port: int
    seconds_per_step: float = 0.0
    boot_seconds: float = 0.0
    load_seconds: float = 0.0
    checkpoints: tuple[str, ...] = ("simulated-v1",)
    installed: Installed = field(default_factory=Installed)
    api_auth: str | None = None
    api_server_stop: bool = False
    fragile_start: bool = False
    dialect: Dialect = A1111
    journal: Path | None = None
    faults: tuple[Rule, ...] = ()
    fault_file: Path | None = None


@dataclass
class ReceivedRequest:
    """One HTTP request, read whole."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str | None
    authorization: str | None
    host: str
    body: bytes
    arrival: Arrival | None = None
    """Of a generation request: what faults and journal know of it."""

    def meet(self, point: Point) -> None:
        """Let the faults act that are due at this point of its way."""
        if self.arrival:
            strike(point, self.arrival)


Handler = Callable[["Simulation", ReceivedRequest], SimulatedAnswer]


@dataclass(frozen=True)
class Endpoint:
    handler: Handler
    is_open: bool = False
    """Answers without credentials even under `--api-auth`."""
    is_generation: bool = False


@dataclass
class Simulation:
    settings: Settings
    endpoints: dict[str, dict[str, Endpoint]]
    """Path, then method."""
    journal: Journal
    stop_listening: Callable[[], None] = lambda: None
    state: State = field(default_factory=State)
    turns: Turns = field(default_factory=Turns)
    tasks: Tasks = field(default_factory=Tasks)
    last_document: dict[str, Any] = field(default_factory=dict)
    """The newest answer with pictures, as it was sent."""

    def __post_init__(self) -> None:
        settings = self.settings
        installed = settings.installed
        self.checkpoints = Checkpoints(
            list(settings.checkpoints), settings.load_seconds, any_name=bool(installed.any_name)
        )
        self.catalog = SimulatedCatalog(self.dialect.document("catalog"), installed)
        self.options = Options(self.checkpoints, self.dialect)
        self.studio = Studio(self.dialect, self.catalog, self.checkpoints, self.options, self.state)
        self.switchboard = Switchboard(settings.faults, settings.fault_file, self.journal)
        self._workers = threading.BoundedSemaphore(WORKER_THREADS)

    @property
    def dialect(self) -> Dialect:
        return self.settings.dialect

    @property
    def schema(self) -> Schema:
        return self.dialect.schema

    def read(self, kind: str, request: ReceivedRequest) -> dict[str, Any]:
        """The fields of a request of this kind. Raises InvalidFieldsError."""
        return self.schema.read(kind, request.content_type, request.body)

    def answer(self, request: ReceivedRequest) -> SimulatedAnswer:
        """Route, authenticate, handle; every failure becomes the answer that the real server gives."""
        methods = self.endpoints.get(request.path)
        if methods is None:
            return self._no_such_path(request)
        endpoint = methods.get(request.method)
        if endpoint is None:
            return method_not_allowed(", ".join(methods))
        try:
            if not endpoint.is_open:
                self._authenticate(request)
            with self._workers:
                if endpoint.is_generation:
                    self._note_arrival(request)
                    request.meet(Point.ARRIVAL)
                return endpoint.handler(self, request)
        except (RefusedRequestError, EscapedError, InvalidFieldsError) as failure:
            if isinstance(failure, EscapedError):
                log.complain(
                    f"*** API error: {request.method}: {request.path} {failure.error_class}: {failure.text}"
                )
            return self.dialect.failure(failure)

    def _no_such_path(self, request: ReceivedRequest) -> SimulatedAnswer:
        trimmed = request.path.rstrip("/")
        if trimmed in self.endpoints:
            return SimulatedAnswer(307, b"", None, (("location", f"http://{request.host}{trimmed}"),))
        return not_found()

    def _authenticate(self, request: ReceivedRequest) -> None:
        """Raises RefusedRequestError 401."""
        if self.settings.api_auth is None:
            return
        scheme, _, credentials = (request.authorization or "").partition(" ")
        if scheme.lower() != "basic":
            raise RefusedRequestError(401, "Not authenticated")
        try:
            pair = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        if ":" not in pair:
            raise RefusedRequestError(401, "Invalid authentication credentials")
        known = [entry.strip() for entry in self.settings.api_auth.split(",")]
        if not any(secrets.compare_digest(pair.encode(), entry.encode()) for entry in known):
            raise RefusedRequestError(401, "Incorrect username or password")

    def _note_arrival(self, request: ReceivedRequest) -> None:
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        words = body if isinstance(body, dict) else {}
        prompt, task_id = words.get("prompt"), words.get("force_task_id")
        number = self.journal.post(
            request.path,
            request.body,
            prompt if isinstance(prompt, str) else None,
            task_id if isinstance(task_id, str) else None,
        )
        request.arrival = Arrival(
            number=number,
            path=request.path,
            fields=words,
            journal=self.journal,
            seconds_per_step=self.settings.seconds_per_step,
            interrupt=self.state.interrupt,
        )
        self.switchboard.set_for(request.arrival, is_extras="/extra-" in request.path)
