"""Requests to one WebUI, each on a connection of its own: what comes back is a typed value or a `WebUIError`.

Nothing is repeated here, and no endpoint is known: those are in `client`.
"""

import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from pydantic import TypeAdapter, ValidationError

from webui.errors import WebUIBadAnswerError, WebUIError, WebUIGatewayError
from webui.http import transport
from webui.http.address import split_address
from webui.http.answer import HttpAnswer
from webui.http.json_body import read_json
from webui.words import ServerNoun
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts

T = TypeVar("T")

MOST_SMALL_BYTES = 128 * 1024**2
"""Of answers without results: the longest lists (LoRAs with all their metadata) stay below it."""


class WebUIConnection:
    """Where a WebUI is and how long we wait for it; threads may share one."""

    noun: ClassVar[ServerNoun] = ServerNoun.WEBUI
    """What its errors call the server."""

    def __init__(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_answer_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`base_url` like http://127.0.0.1:7860, a path prefix allowed; `auth` wins over one inside it.

        Raises ValueError if `base_url` is not an http(s) address.
        """
        self.base_url, address_auth = split_address(base_url)
        self.auth = auth or address_auth
        self.timeouts = timeouts
        self.max_answer_bytes = max_answer_bytes
        self._clock = clock

    def headers(self) -> Mapping[str, str] | None:
        """What every request carries beside our own headers; asked for each request."""
        return None

    def judge(self, answer: HttpAnswer, body: object, *, generates: bool) -> WebUIError:
        """The error that an answer outside 200-299 is; `body` is the JSON that was sent. Each driver's own.

        `generates` says that the request was one for pictures.
        """
        raise NotImplementedError

    def call(
        self,
        method: str,
        endpoint: str,
        answer_type: TypeAdapter[T],
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stage: str | None = None,
    ) -> T:
        """One request and its parsed answer; `timeout_s` defaults to that of a small request.

        Only a request that generates names its `stage`, and only its answer may be as large as pictures are.
        """
        answer = self._answer(method, endpoint, json=json, params=params, timeout_s=timeout_s, stage=stage)
        try:
            nothing = answer.status == HTTPStatus.NO_CONTENT
            return answer_type.validate_python(None if nothing else read_json(answer.body))
        except ValidationError as exc:
            words = "; ".join(
                _sentence(error) for error in exc.errors(include_url=False, include_input=False)
            )
            raise self._unusable(words, answer, method, endpoint, stage) from exc
        except MemoryError as exc:
            # Of a small answer it is our own machine's, whoever answers.
            if len(answer.body) <= MOST_SMALL_BYTES:
                raise
            words = f"{len(answer.body)} bytes, more than this machine has the memory for"
            raise self._unusable(words, answer, method, endpoint, stage) from exc
        except ValueError as exc:
            words = f"not JSON but {answer.text()[:200] or 'nothing'!r} ({exc})"
            # A page for a browser, such as a sign-in: whether the request reached the WebUI is not known.
            kind = WebUIGatewayError if stage and answer.is_page else WebUIBadAnswerError
            raise self._unusable(words, answer, method, endpoint, stage, kind) from exc

    def _answer(
        self,
        method: str,
        endpoint: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stage: str | None = None,
    ) -> HttpAnswer:
        """A success as it came; every error leaves with all its facts."""
        return self.exchange(method, endpoint, json=json, params=params, timeout_s=timeout_s, stage=stage)

    def exchange(
        self,
        method: str,
        endpoint: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stage: str | None = None,
        data: bytes | None = None,
        max_answer_bytes: int | None = None,
        also: Collection[int] = (),
    ) -> HttpAnswer:
        """A success as it came, or a status of `also`; every error leaves with all its facts.

        `data` is a body that is no JSON. An answer larger than `max_answer_bytes` is an error.
        """
        outgoing = transport.Outgoing(
            method=method,
            url=self.base_url + endpoint,
            connect_timeout_s=self.timeouts.connect_s,
            timeout_s=self.timeouts.small_s if timeout_s is None else timeout_s,
            json=json,
            has_json=json is not None,
            params=params,
            auth=self.auth,
            max_answer_bytes=max_answer_bytes
            or self.max_answer_bytes
            or (None if stage else MOST_SMALL_BYTES),
            data=data,
            headers=self.headers(),
        )
        try:
            answer = transport.send(outgoing, self._clock)
            if not 200 <= answer.status < 300 and answer.status not in also:
                raise self.judge(answer, json, generates=bool(stage))
        except WebUIError as error:
            error.method, error.endpoint, error.stage, error.address = method, endpoint, stage, self.base_url
            error.server = self.noun
            raise
        return answer

    def _unusable(
        self,
        words: str,
        answer: HttpAnswer,
        method: str,
        endpoint: str,
        stage: str | None,
        kind: type[WebUIError] = WebUIBadAnswerError,
    ) -> WebUIError:
        return kind(
            words,
            endpoint=endpoint,
            method=method,
            stage=stage,
            status=answer.status,
            elapsed_s=answer.elapsed_s,
            address=self.base_url,
            server=self.noun,
        )


def _sentence(error: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "body"
    return f"{field}: {error['msg']}"
