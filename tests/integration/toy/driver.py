"""The driver of an easel (`server`): the whole of what the product needs to know of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import loads
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from webui.driver import Driver, StartPlan
from webui.errors import WebUIError, WebUIRejectedError, WebUIServerError
from webui.http.answer import HttpAnswer
from webui.http.connection import WebUIConnection
from webui.work.catalog import Catalog, Entry, Found, Has, Need, Thing
from webui.work.testimony import Saying, Testimony, Witness
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts
from webui.work.told import (
    ApiAnswer,
    Asked,
    ConnectionVerdict,
    Fate,
    MemoryUse,
    Outcome,
    PictureFacts,
    Progress,
)
from webui.work.unit import Request, Vocabulary, Work


class Canvases(BaseModel):
    canvases: list[str]


class Mood(BaseModel):
    mood: str


_CANVASES = TypeAdapter(Canvases)
_MOOD = TypeAdapter(Mood)


class EaselConnection(WebUIConnection):
    def judge(self, answer: HttpAnswer, body: object, *, generates: bool) -> WebUIError:
        words = loads(answer.body)["sorry"]
        kind = WebUIRejectedError if answer.status == 418 else WebUIServerError
        return kind(words, status=answer.status)


@dataclass(slots=True)
class EaselServer:
    driver: Driver
    connection: EaselConnection
    base_url: str
    auth: tuple[str, str] | None = None

    def ask(self) -> Asked:
        try:
            self.connection.call("GET", "/how-are-you", _MOOD)
        except WebUIError as exc:
            return Asked(ApiAnswer.REFUSED, str(exc))
        return Asked(ApiAnswer.API)

    def without_api(self) -> str:
        return ""

    def send(self, request: Request) -> Sequence[bytes]:
        told = self.connection.call(
            "PUT", request.endpoint, _CANVASES, json=request.body, timeout_s=60.0, stage=request.stage
        )
        return [base64.b85decode(canvas) for canvas in told.canvases]

    def progress(self) -> Progress:
        self.connection.call("GET", "/easel", _MOOD)
        return Progress()

    def preview(self) -> bytes | None:
        return None

    def is_running(self, task_id: str, *, alone: bool) -> bool:
        return alone

    def interrupt(self) -> None:
        self.connection.call("DELETE", "/canvas", _MOOD)

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        return True

    def fate_of(self, task_id: str) -> Fate:
        return Fate.UNKNOWN

    def catalog(self) -> Catalog:
        return Catalog(lists={Thing.CHECKPOINT: (Entry("linen"),)})

    def refresh_lists(self) -> None:
        pass

    def loaded_checkpoint(self, *, even_if_busy: bool) -> str | None:
        return "linen"

    def memory(self) -> MemoryUse:
        return MemoryUse()

    def restart(self) -> str:
        return "An easel does not restart itself."

    def inspect(self) -> ConnectionVerdict:
        return ConnectionVerdict(Outcome.WORKS, "It works", "The paint is wet.")


class EaselDriver:
    name = "easel"
    title = "Easels"
    kinds: Sequence[str] = ("image",)
    token_variable = ""
    repeatable = False

    def dialect_title(self, dialect: str) -> str:
        return self.title

    def find(self, catalog: Catalog, need: Need) -> Found:
        return Found(Has.UNKNOWN)

    def start_words(self, command: Sequence[str], port: int | None) -> list[str]:
        return list(command)

    def start_of(self, file: Path, *, port: int, allow_modules: bool = False) -> StartPlan:
        raise ValueError("An easel has no configuration file.")

    def announces_start(self, stdout_log: Path) -> bool:
        return stdout_log.exists() and b"The paint is wet." in stdout_log.read_bytes()

    def connect(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_answer_bytes: int | None = None,
    ) -> EaselServer:
        connection = EaselConnection(base_url, auth=auth, timeouts=timeouts)
        return EaselServer(self, connection, connection.base_url)

    def request(self, work: Work) -> Request:
        body = {"colour": work.prompt, "count": len(work.images), "ticket": work.task_id}
        words = Vocabulary(plain=frozenset({"ticket"}), keys=frozenset(body))
        return Request(work.stage, "/canvas", body, len(work.images), words, work.task_id, samples=False)

    def restore(self, stage: str, endpoint: str, body: Mapping[str, object]) -> Request:
        if endpoint != "/canvas" or body.keys() != {"colour", "count", "ticket"}:
            raise ValueError("no order for an easel")
        words = Vocabulary(plain=frozenset({"ticket"}), keys=frozenset(body))
        return Request(stage, endpoint, body, 1, words, str(body["ticket"]), samples=False)

    def picture_facts(self, content: bytes) -> PictureFacts:
        return PictureFacts("oil on linen", 7)

    def testimony(
        self, request: Request, place: int, *, told: PictureFacts, own: PictureFacts, catalog: Catalog | None
    ) -> tuple[Testimony, ...]:
        medium = Saying(Witness.PICTURE_TEXT, own.infotext, own.infotext == "oil on linen")
        return (Testimony("Medium", "oil on linen", (medium,)),)

    def told_besides(self, request: Request, facts: PictureFacts) -> tuple[tuple[str, str], ...]:
        return ()


DRIVER: Driver = EaselDriver()
