"""The same requests, sent to a node: does it answer as the other one did?

Claims rest meanwhile: the queue is paused, and only then looked at. A request of a replay never runs beside a job.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from diagnostics.replay.document import RecordedRequest, ReplayDocument
from diagnostics.replay.reading import ReplayRefusedError
from jobs.clock import database_now
from jobs.films import is_film
from jobs.lifecycle import TruthPolicy
from jobs.models import AttemptOutcome, QueueControl
from jobs.queue import control
from jobs.queue.deadlines import request_deadline_s
from jobs.queue.holds import HoldCode, facts_of, held_by, is_busy, runner_of
from jobs.running.outputs import FILM_SUFFIX, SUFFIXES
from jobs.truth.judge import came_of, judge, look_at_source
from jobs.truth.policy import refusal_of
from webui.driver import Server, UnknownDriverError, driver_of
from webui.errors import TruthDriftError, WebUIError, WebUIHangError, WebUITimeoutError
from webui.evidence.redaction import redact_error, secrets_of
from webui.models import Node, NodeState
from webui.nodes.catalogs import catalog_of_boot
from webui.nodes.connecting import connect as connect_node
from webui.whole_file import write_file
from webui.work.pictures import NoPictureError, Pictures, read_header
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts
from webui.work.unit import Request

SETTLE_S: Final = 1.0
"""A claim that had begun when the queue was paused is over by then."""
REPLAYING: Final = "Requests of a job are replayed"
"""How the reason of our pause begins."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one request here, beside what came of it there; `alike` judges only how it ended."""

    stage: str
    endpoint: str
    sha256: str
    same_request: bool
    """Its hash is the one in the file."""
    there: str
    here: str
    message: str
    alike: bool
    pictures: tuple[str, ...] = ()
    same_pictures: bool | None = None
    """Byte for byte; None where it is not known."""


#: A replay only waits for the answer, where a run asks for progress too: what is a hang there is a timeout here.
SILENCES = {WebUIHangError.code, WebUITimeoutError.code}


@dataclass(slots=True)
class Replay:
    """One file, replayed on one node; `by` is told to whoever wonders why the queue stands."""

    document: ReplayDocument
    node: Node
    by: str
    folder: Path
    connect: Callable[..., Server] = connect_node
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> list[Replayed]:
        """Raises `ReplayRefusedError` before anything is sent."""
        requests = self.restored()
        with self._alone():
            server = self.connect(self.node, timeouts=_timeouts(self.node.kind))
            return [
                self._replay(server, number, recorded, request)
                for number, (recorded, request) in enumerate(
                    zip(self.document.requests, requests, strict=True), 1
                )
            ]

    def restored(self) -> list[Request]:
        """Every request, proved to be one that the node's driver makes."""
        if self.document.driver != self.node.driver:
            raise ReplayRefusedError(
                f"The requests are for servers of kind {self.document.driver!r}; "
                f"node {self.node.name} is of kind {self.node.driver!r}."
            )
        try:
            driver = driver_of(self.node.driver)
            return [driver.restore(one.stage, one.endpoint, one.body) for one in self.document.requests]
        except (ValueError, UnknownDriverError) as exc:
            raise ReplayRefusedError(f"The file holds a request that is not sent: {exc}.") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The queue is paused, unless it was, and nothing runs on the node or its graphics card."""
        reason = f"{REPLAYING} on {self.node.name}; the queue goes on by itself afterwards."
        ours = control.pause(by=self.by, reason=reason)
        if not ours and QueueControl.objects.filter(pause_reason__startswith=REPLAYING).exists():
            raise ReplayRefusedError("Another replay is under way, and ends the pause. Try again after it.")
        try:
            if ours:
                self.sleep(SETTLE_S)
            self._require_free()
            yield
        finally:
            # Somebody may have paused it anew meanwhile, for a reason of their own.
            if ours and QueueControl.objects.filter(paused=True, pause_reason=reason).exists():
                control.resume(by=self.by)

    def _require_free(self) -> None:
        self.node.refresh_from_db()
        name = self.node.name
        if is_busy(self.node):
            raise ReplayRefusedError(
                f"A job runs on {name} or on its graphics card. Wait for its end, or choose another node."
            )
        if self.node.state != NodeState.READY:
            raise ReplayRefusedError(f"Node {name} is {self.node.get_state_display().lower()}, not ready.")
        held = set(held_by(facts_of(self.node, runner_of(self.node)), database_now))
        if HoldCode.MUST_QUIET in held:
            raise ReplayRefusedError(f"An earlier request may still run on {name}. Try again in a moment.")
        if HoldCode.WISH in held:
            raise ReplayRefusedError(f"Somebody has asked {name} to stop or restart.")

    def _replay(self, server: Server, number: int, recorded: RecordedRequest, request: Request) -> Replayed:
        done = Replayed(
            stage=request.stage,
            endpoint=request.endpoint,
            sha256=request.sha256,
            same_request=request.sha256 == recorded.sha256,
            there=recorded.came.code or recorded.came.outcome,
            here="",
            message="",
            alike=False,
        )
        try:
            pictures = server.send(request)
        except WebUIError as exc:
            return self._failed(done, request, recorded, exc)
        except KeyboardInterrupt:
            _end(server, request, self.node)
            raise
        hashes = [hashlib.sha256(content).hexdigest() for content in pictures]
        done = replace(
            done,
            here=str(AttemptOutcome.COMPLETED),
            message=f"{len(pictures)} of {request.pictures} pictures came.",
            alike=recorded.came.outcome == AttemptOutcome.COMPLETED,
            pictures=self._write(number, request, pictures),
            same_pictures=hashes == list(recorded.came.pictures) if recorded.came.pictures else None,
        )
        refusal = self._refusal(server, request, recorded, pictures)
        return done if refusal is None else self._failed(done, request, recorded, refusal)

    def _failed(
        self, done: Replayed, request: Request, recorded: RecordedRequest, error: WebUIError
    ) -> Replayed:
        error = redact_error(error, secrets_of(request, node_id=self.node.pk))
        alike = error.code == recorded.came.code or {error.code, recorded.came.code} == SILENCES
        return replace(done, here=error.code, message=str(error), alike=alike)

    def _refusal(
        self, server: Server, request: Request, recorded: RecordedRequest, pictures: Sequence[bytes]
    ) -> WebUIError | None:
        """Why a job would not have kept these pictures: what only marked it there is no failure here."""
        driver = server.driver
        told = pictures.told if isinstance(pictures, Pictures) else Pictures.of(pictures).told
        came = [came_of(driver, request, one, facts) for one, facts in zip(pictures, told, strict=True)]
        catalog = catalog_of_boot(self.node, self.node.generation)
        judgements = judge(driver, request, came, catalog=catalog, source=look_at_source(request))
        strict = recorded.came.code == TruthDriftError.code
        policy = TruthPolicy.FAIL if strict else TruthPolicy.MARK
        return refusal_of(judgements, policy, request, driver, catalog)

    def _write(self, number: int, request: Request, pictures: Sequence[bytes]) -> tuple[str, ...]:
        """Names of ours, whatever the file says: its stage is no path."""
        written = []
        self.folder.mkdir(parents=True, exist_ok=True)
        for index, content in enumerate(pictures, 1):
            try:
                suffix = SUFFIXES[read_header(content, whole=True).format]
            except NoPictureError:
                suffix = FILM_SUFFIX if request.frames and is_film(content) else ".broken"
            path = self.folder / f"request-{number}-picture-{index}{suffix}"
            write_file(path, content)
            written.append(str(path))
        return tuple(written)

    def as_json(self, done: Sequence[Replayed]) -> dict[str, Any]:
        return {
            "job": self.document.job,
            "node": self.node.name,
            "requests": [asdict(one) for one in done],
            "errors": [],
        }


def _end(server: Server, request: Request, node: Node) -> None:
    """Only if it is surely ours that runs."""
    try:
        if request.samples and server.is_running(request.task_id, alone=node.managed):
            server.interrupt()
    except WebUIError:
        return


def _timeouts(kind: str) -> Timeouts:
    return replace(DEFAULT_TIMEOUTS, generation_s=request_deadline_s(kind))
