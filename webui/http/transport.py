"""One HTTP request on a connection of its own, its failures translated at one place; nothing is repeated."""

import http.client
import json
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool

from webui.errors import (
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIError,
    WebUINotSentError,
    WebUITimeoutError,
)
from webui.http.answer import HttpAnswer
from webui.http.deadline import Deadline, TimelyResponse

# Of a header that it cannot read it would write a traceback with the server's own words into the log.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

MAX_ANSWER_BYTES = 1024**3
"""No picture batch that we ask for comes near it; an endless answer must not fill the memory."""

CHUNK_BYTES = 1024 * 1024

NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.ConnectTimeoutError,
    # Raised while the request is put together, before any connection.
    requests.exceptions.InvalidURL,
)


@dataclass(frozen=True)
class Outgoing:
    """A request ready to send. `timeout_s` bounds each wait for the server and the whole answer.

    `data` is a body that is no JSON; `headers` come on top of our own.
    """

    method: str
    url: str
    connect_timeout_s: float
    timeout_s: float
    json: Any = None
    has_json: bool = False
    params: Mapping[str, str] | None = None
    auth: tuple[str, str] | None = None
    max_answer_bytes: int | None = None
    """Less than `MAX_ANSWER_BYTES`, of a server that nobody knows yet."""
    data: bytes | None = None
    headers: Mapping[str, str] | None = None


class AnswerTooLargeError(Exception):
    """The answer is larger than any that was asked for"""


def send(outgoing: Outgoing, clock: Callable[[], float] = time.monotonic) -> HttpAnswer:
    """Send once and read the whole answer, whatever its status.

    Raises WebUINotSentError, WebUIConnectionLostError, WebUITimeoutError or WebUIBadAnswerError, with the
    elapsed seconds; the caller knows the other facts.
    """
    started = clock()
    headers, data = _head_and_body(outgoing)
    try:
        return _exchange(outgoing, headers, data, started, clock)
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        AnswerTooLargeError,
        # What servers say may also break what reads it: a redirect to no address, a header of no charset.
        OSError,
        ValueError,
        LookupError,
        MemoryError,
    ) as exc:
        error = _translate(exc)
        error.elapsed_s = clock() - started
        raise error from exc


def _head_and_body(outgoing: Outgoing) -> tuple[dict[str, str], bytes | None]:
    # Compression costs the server more time than it saves on pictures. A connection kept open could turn
    # out dead at the next use, which would look like "sent, answer lost".
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    if outgoing.auth:
        # At once: a WebUI that wants it refuses without the challenge that clients otherwise wait for.
        headers["Authorization"] = "Basic " + b64encode(":".join(outgoing.auth).encode()).decode("ascii")
    if outgoing.headers:
        headers |= outgoing.headers
    if not outgoing.has_json:
        return headers, outgoing.data
    headers["Content-Type"] = "application/json"
    return headers, json.dumps(outgoing.json, allow_nan=False, separators=(",", ":")).encode()


def _exchange(
    outgoing: Outgoing,
    headers: Mapping[str, str],
    data: bytes | None,
    started: float,
    clock: Callable[[], float],
) -> HttpAnswer:
    deadline = Deadline(started + outgoing.timeout_s, clock)
    with requests.Session() as session:
        session.trust_env = False
        adapter = _PatientAdapter(deadline)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        with session.request(
            outgoing.method,
            outgoing.url,
            params=outgoing.params,
            data=data,
            headers=headers,
            timeout=(outgoing.connect_timeout_s, outgoing.timeout_s),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = _read(response, outgoing.max_answer_bytes or MAX_ANSWER_BYTES, deadline)
            return HttpAnswer(
                status=response.status_code,
                content_type=response.headers.get("Content-Type", ""),
                body=body,
                elapsed_s=clock() - started,
                location=response.headers.get("Location", ""),
                headers=response.headers,
            )


class _PatientConnection(HTTPConnection):
    """Its connect timeout ends with the connect, and from then on the deadline of the whole exchange holds.

    Else it would bound the sending too, and a WebUI that is busy for some seconds (loading a checkpoint)
    while a large picture is sent would look dead.
    """

    def __init__(self, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deadline = deadline
        # Made by http.client for the answer; the class that urllib3 asks for is another one.
        self.response_class = partial(TimelyResponse, deadline=deadline)  # type: ignore[assignment]

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.deadline.left_s())


class _PatientTLSConnection(_PatientConnection, HTTPSConnection):
    pass


class _PatientAdapter(HTTPAdapter):
    """Never repeats, and sends on connections that wait as long for the server as its answer may take."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(max_retries=0)
        self.deadline = deadline

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _PatientTLSConnection if pool.scheme == "https" else _PatientConnection
        pool.ConnectionCls = partial(kind, deadline=self.deadline)
        return cast(ConnectionPool, pool)


def _read(response: requests.Response, most_bytes: int, deadline: Deadline) -> bytes:
    """Into one block that grows: memory of many small pieces would not be given back."""
    body = bytearray()
    while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > most_bytes:
            raise AnswerTooLargeError(f"more than {most_bytes} bytes")
        deadline.left_s()
    return bytes(body)


def causes(exc: BaseException) -> Iterator[BaseException]:
    """`exc` and what it says it was caused by, outermost first.

    `__context__` is not followed: it may be an older failure, of an earlier request that was being handled.
    """
    seen: set[int] = set()
    waiting: list[BaseException] = [exc]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, getattr(current, "reason", None), *current.args)
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def _translate(exc: BaseException) -> WebUIError:
    chain = list(causes(exc))
    words = _words(chain)
    kind = type(chain[-1]).__name__
    if any(isinstance(cause, NEVER_SENT) for cause in chain):
        return WebUINotSentError(words, error_class=kind)
    late = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
    if any(isinstance(cause, late) for cause in chain):
        return WebUITimeoutError(words, error_class=kind)
    undecodable = (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError)
    unreadable = (*undecodable, AnswerTooLargeError, UnicodeError, LookupError, MemoryError)
    if any(isinstance(cause, unreadable) for cause in chain):
        return WebUIBadAnswerError(words, error_class=kind)
    return WebUIConnectionLostError(words, error_class=kind)


def _words(chain: list[BaseException]) -> str:
    """The innermost cause that says anything, without the object address that urllib3 puts before it."""
    for cause in reversed(chain):
        text = str(cause).strip()
        if text:
            return text.rsplit(": Failed to establish a new connection: ")[-1]
    return type(chain[0]).__name__
