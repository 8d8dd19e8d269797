"""Recorded exchanges with real WebUI servers, as values, and as what `responses` replays."""

import builtins
import http.client
import json
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import requests
import responses
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

HERE = Path(__file__).parent
ADDRESS = "http://127.0.0.1:7861"
"""Where the recorded server listened."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """With its query."""
    headers: dict[str, str] = field(default_factory=dict)
    basic_auth: tuple[str, str] | None = None
    json: Any = None
    has_json: bool = False
    raw_body: str | None = None

    def send(self, base_url: str, timeout_s: float = 10.0) -> requests.Response:
        """The request as it was recorded, to any server; `raw_body` with the recorded headers only."""
        data = self.raw_body.encode() if self.raw_body is not None else None
        return requests.request(
            self.method,
            base_url + self.path,
            headers=self.headers,
            auth=self.basic_auth,
            json=self.json if self.has_json else None,
            data=data,
            allow_redirects=False,
            timeout=timeout_s,
        )


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    json: Any = None
    is_json: bool = False
    text: str = ""

    @property
    def body(self) -> str:
        return json.dumps(self.json) if self.is_json else self.text


@dataclass(frozen=True)
class Exchange:
    """`response` is None where no answer came; then `chain` is what `requests` raised, outermost first."""

    name: str
    request: Request
    response: Response | None
    chain: tuple[dict[str, Any], ...] = ()


def names(folder: str = "exchanges") -> list[str]:
    return sorted(path.stem for path in (HERE / folder).glob("*.json"))


@cache
def load_exchange(name: str, folder: str = "exchanges") -> Exchange:
    recorded = json.loads((HERE / folder / f"{name}.json").read_text(encoding="utf-8"))
    seen = recorded.get("clients_see", {}).get("requests")
    response = recorded.get("response")
    if isinstance(seen, dict):
        # The recording keeps only the beginning of this answer.
        response = {"status": seen["status"], "headers": {}, "text": seen["text"]}
    return Exchange(
        name=name,
        request=_request(recorded.get("request") or {"method": "POST", "path": "/sdapi/v1/txt2img"}),
        response=_response(response) if response else None,
        chain=tuple(recorded.get("client_exception") or (seen if isinstance(seen, list) else ())),
    )


def _request(recorded: dict[str, Any]) -> Request:
    user, _, password = recorded.get("basic_auth", "").partition(":")
    return Request(
        method=recorded["method"],
        path=recorded["path"],
        headers=recorded.get("headers") or {},
        basic_auth=(user, password) if user else None,
        json=recorded.get("json"),
        has_json="json" in recorded,
        raw_body=recorded.get("raw_body"),
    )


def _response(recorded: dict[str, Any]) -> Response:
    return Response(
        status=recorded["status"],
        headers=recorded.get("headers") or {},
        json=recorded.get("json"),
        is_json="json" in recorded,
        text=recorded.get("text") or "",
    )


def replay(exchange: Exchange, mock: responses.RequestsMock) -> None:
    """Make the mocked network answer, or fail, as recorded."""
    path = exchange.request.path.partition("?")[0]
    if exchange.response is None:
        mock.add(exchange.request.method, ADDRESS + path, body=_exception(list(exchange.chain)))
        return
    # Length and encoding are those of the body on the recorded wire, which was packed.
    left_out = ("content-length", "content-encoding", "content-type")
    headers = {key: value for key, value in exchange.response.headers.items() if key not in left_out}
    mock.add(
        exchange.request.method,
        ADDRESS + path,
        body=exchange.response.body,
        status=exchange.response.status,
        headers=headers,
        content_type=exchange.response.headers.get("content-type", "text/plain"),
    )


def _exception(chain: list[dict[str, Any]]) -> Exception:
    """The recorded chain raised anew: each exception built around the next one."""
    head, rest = chain[0], chain[1:]
    name, text = head["type"], head["text"]
    if name == "requests.exceptions.ConnectionError":
        return requests.exceptions.ConnectionError(_exception(rest))
    if name == "urllib3.exceptions.MaxRetryError":
        pool = urllib3.connectionpool.HTTPConnectionPool("127.0.0.1", 7861)
        return urllib3.exceptions.MaxRetryError(pool, "/", _exception(rest))
    if name == "urllib3.exceptions.NewConnectionError":
        connection = urllib3.connection.HTTPConnection("127.0.0.1", 7861)
        refused = urllib3.exceptions.NewConnectionError(connection, text.partition(": ")[2])
        refused.__cause__ = _exception(rest)
        return refused
    if name == "urllib3.exceptions.ProtocolError":
        return urllib3.exceptions.ProtocolError("Connection aborted.", _exception(rest))
    if name == "http.client.RemoteDisconnected":
        return http.client.RemoteDisconnected(text)
    kind = getattr(builtins, name.removeprefix("builtins."))
    error: Exception = kind(head["errno"], text)
    return error


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")
