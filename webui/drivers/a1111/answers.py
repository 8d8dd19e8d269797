"""Judge one HTTP answer of a WebUI: its words, and which error of the tree it is; nothing is sent here."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from webui.drivers.a1111.quirks import BARE_500
from webui.errors import (
    CheckpointNotLoadedError,
    InvalidImageError,
    RefinerRefusedError,
    RequestValidationError,
    SamplerNotFoundError,
    ScriptNotFoundError,
    UnknownCheckpointError,
    UnknownOptionError,
    UnknownUpscalerError,
    WebUIAuthError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIGatewayError,
    WebUINaNError,
    WebUINotOfferedError,
    WebUIOutOfMemoryError,
    WebUIRedirectError,
    WebUIRejectedError,
    WebUIRequestTooLargeError,
    WebUIServerError,
    WebUITransientError,
)
from webui.http.answer import HttpAnswer
from webui.http.json_body import read_json

Body = Mapping[str, Any]


def _anything(_body: Body) -> bool:
    return True


def _below(name: str, least: int) -> Callable[[Body], bool]:
    def check(body: Body) -> bool:
        value = body.get(name)
        return isinstance(value, int | float) and value < least

    return check


def _any_of(*checks: Callable[[Body], bool]) -> Callable[[Body], bool]:
    return lambda body: any(check(body) for check in checks)


def _bad_init_images(body: Body) -> bool:
    images = body.get("init_images")
    return isinstance(images, list) and (not images or not all(isinstance(image, str) for image in images))


_NO_BATCH = _any_of(_below("batch_size", 1), _below("n_iter", 1))


@dataclass(frozen=True)
class RequestFault:
    """A recorded way in which a 500 shows that the request itself is wrong.

    `words` is searched in the server's words. Where those could also come from a sick server, `asked` says
    what the request must have held, and `why` is the sentence that the server did not find.
    """

    error: type[WebUIRejectedError]
    words: str
    error_class: str | None = None
    asked: Callable[[Body], bool] = _anything
    why: str = ""

    def explains(self, error_class: str | None, words: str, body: Body) -> bool:
        return (
            self.error_class in (None, error_class)
            and re.search(self.words, words) is not None
            and self.asked(body)
        )


REQUEST_FAULTS = (
    RequestFault(InvalidImageError, r"Invalid encoded image|Invalid image url|Requests? .*not allowed"),
    RequestFault(InvalidImageError, r"bad number of images passed"),
    RequestFault(InvalidImageError, r"", asked=_bad_init_images, why="init_images: needs one picture each"),
    RequestFault(UnknownUpscalerError, r"could not find upscaler named"),
    RequestFault(UnknownCheckpointError, r"^model '.*' not found$"),
    RequestFault(UnknownCheckpointError, r"[Cc]ould not find checkpoint with name"),
    RequestFault(
        RefinerRefusedError,
        r"mat1 and mat2 shapes cannot be multiplied|size mismatch|Sizes of tensors must match",
        asked=lambda body: bool(body.get("refiner_checkpoint")),
        why="refiner_checkpoint: not of the checkpoint's architecture",
    ),
    RequestFault(
        RequestValidationError,
        r"^(AssertionError)?$",
        "AssertionError",
        lambda body: "prompt" in body and body["prompt"] is None,
        "prompt: must not be null",
    ),
    RequestFault(
        RequestValidationError,
        r"'NoneType' and",
        "TypeError",
        lambda body: bool(body.get("enable_hr")) and body.get("denoising_strength") is None,
        "denoising_strength: hires fix needs it",
    ),
    RequestFault(
        RequestValidationError, r"", "ZeroDivisionError", _below("steps", 1), "steps: must be at least 1"
    ),
    RequestFault(RequestValidationError, r"number of steps must be non-negative"),
    RequestFault(RequestValidationError, r"", "IndexError", _NO_BATCH, "batch_size: must be at least 1"),
    RequestFault(
        RequestValidationError,
        r"Calculated padded input size|negative dimension",
        why="width, height: too small",
    ),
    RequestFault(
        RequestValidationError,
        r"",
        "ValueError",
        lambda body: bool(body.get("script_name")) and not body.get("script_args"),
        "script_args: the script needs its arguments",
    ),
)

NOT_LOADED_CLASSES = frozenset({"SafetensorError", "UnpicklingError"})
NOT_LOADED = re.compile(
    r"Error while deserializing header|PytorchStreamReader failed|Error\(s\) in loading state_dict for"
    r"|You do not have \S+ state dict|Failed to recognize model type"
)
"""A checkpoint's file that cannot be read, is of no known kind, or lacks a part (Forge)."""

OUT_OF_MEMORY = re.compile(
    r"out of memory|(can't|cannot|not) (be )?allocate|not enough memory", re.IGNORECASE
)


def words_of(payload: object) -> tuple[str, str | None]:
    """The server's words and the name of its exception, from whichever field of an error body holds them."""
    if not isinstance(payload, Mapping):
        return ("" if payload is None else str(payload)), None
    name = payload.get("error")
    error_class = name if isinstance(name, str) and name else None
    for key in ("detail", "errors", "message", "error"):
        words = _readable(payload.get(key))
        if words:
            return words, error_class
    return "", error_class


def _readable(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_readable_item(item) for item in value)))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _readable_item(item: object) -> str:
    if not isinstance(item, Mapping) or "msg" not in item:
        return _readable(item)
    location = item.get("loc") or ()
    parts = [str(part) for part in location] if isinstance(location, list | tuple) else [str(location)]
    if parts[:1] == ["body"]:
        parts = parts[1:]
    return f"{'.'.join(parts) or 'body'}: {item['msg']}"


def error_of(answer: HttpAnswer, body: object, *, generates: bool = False) -> WebUIError:
    """The error that an answer outside 200-299 is; `body` is the JSON that was sent, `generates` for pictures."""
    try:
        payload = read_json(answer.body)
    except ValueError:
        payload = None
        words, error_class = answer.text(), None
        if answer.status == 500 and words in ("", _phrase(500)):
            words = BARE_500
    else:
        words, error_class = words_of(payload)
    if 300 <= answer.status < 400 and answer.location:
        words = f"redirected to {_without_query(answer.location)}"
    if not words:
        words = _phrase(answer.status)
    sent = body if isinstance(body, Mapping) else {}
    if _is_of_something_in_front(answer, payload, generates=generates):
        return WebUIGatewayError(words, status=answer.status, elapsed_s=answer.elapsed_s)
    kind, why = _kind(answer.status, payload, words, error_class, sent)
    if why:
        words = why if words in (error_class, _phrase(answer.status)) else f"{why} ({words})"
    return kind(words, status=answer.status, error_class=error_class, elapsed_s=answer.elapsed_s)


def _without_query(location: str) -> str:
    """An address without what may be secret in it: sign-ins put tokens into the query."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return "another address"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


AT_ONCE_S = 1.0
"""A proxy that cannot reach the WebUI says so within this; later, the WebUI may have worked on the request."""
GATEWAY_STATUSES = frozenset({408, 502, 504, *range(520, 600)})
"""Only a proxy says these: it waited too long, or lost its connection to the WebUI."""
OWN_REFUSALS = frozenset({401, 404, 413})
"""These have words of their own, wherever they come from."""


def _is_of_something_in_front(answer: HttpAnswer, payload: object, *, generates: bool) -> bool:
    """Whether a proxy answered instead of the WebUI, so that nobody knows what became of the request.

    The API itself says 429 and 503 in an object with `detail` or `error`, and never in a page. Asked for pictures it
    says no redirect either; to another question an address that was given wrong may answer so.
    """
    if generates and (
        300 <= answer.status < 400
        or (answer.is_page and 400 <= answer.status < 500 and answer.status not in OWN_REFUSALS)
    ):
        return True
    if answer.status in GATEWAY_STATUSES or (
        answer.is_page and answer.status >= 500 and answer.status != 501
    ):
        return True
    own_words = isinstance(payload, Mapping) and ("detail" in payload or "error" in payload)
    return answer.status in (429, 503) and not own_words


def by_what_was_done(error: WebUIError, knows: Callable[[], bool | None]) -> WebUIError:
    """What a generation's error truly is: a refusal is repeated, so it must be proved that nothing was done.

    `knows` asks the WebUI whether it has heard of the request (None: it cannot tell), only where the answer alone
    proves nothing: a 502 at once may mean that the proxy did not reach the WebUI, and a late 503 may be a proxy's in
    the words of an API.
    """
    at_once = (error.elapsed_s or 0.0) <= AT_ONCE_S
    if isinstance(error, WebUIGatewayError):
        if error.status == 502 and at_once and knows() is False:
            return WebUITransientError(**error.facts())
        return error
    if isinstance(error, WebUITransientError) and not at_once and knows() is not False:
        return WebUIGatewayError(**error.facts())
    return error


def _kind(
    status: int, payload: object, words: str, error_class: str | None, body: Body
) -> tuple[type[WebUIError], str]:
    if status < 400:
        return WebUIRedirectError, ""
    if status in (429, 503):
        return WebUITransientError, ""
    if status == 501:
        return WebUINotOfferedError, ""
    if status >= 500:
        return _kind_of_server_error(words, error_class, body)
    return _kind_of_refusal(status, payload, words), ""


def _kind_of_refusal(status: int, payload: object, words: str) -> type[WebUIError]:
    if status in (401, 403):
        return WebUIAuthError
    if status == 413:
        return WebUIRequestTooLargeError
    if re.search(r"sampler not found", words, re.IGNORECASE):
        return SamplerNotFoundError
    if re.search(r"init image not found|invalid encoded image", words, re.IGNORECASE):
        return InvalidImageError
    if re.search(r"^script .* not found|always on scripts params", words, re.IGNORECASE):
        return ScriptNotFoundError
    # The web framework's own 404; the API's say what was not found.
    if status == 404 and (not isinstance(payload, Mapping) or payload.get("detail") == "Not Found"):
        return WebUIEndpointMissingError
    if status == 422:
        return RequestValidationError
    return WebUIRejectedError


def _kind_of_server_error(words: str, error_class: str | None, body: Body) -> tuple[type[WebUIError], str]:
    if error_class == "OutOfMemoryError" or OUT_OF_MEMORY.search(words):
        return WebUIOutOfMemoryError, ""
    if error_class == "NansException" or "all NaNs was produced" in words:
        return WebUINaNError, ""
    if error_class in NOT_LOADED_CLASSES or NOT_LOADED.search(words):
        return CheckpointNotLoadedError, ""
    if error_class == "KeyError" and _names_sent_option(words, body):
        return UnknownOptionError, ""
    for fault in REQUEST_FAULTS:
        if fault.explains(error_class, words, body):
            return fault.error, fault.why
    return WebUIServerError, ""


def _names_sent_option(words: str, body: Body) -> bool:
    """Whether a KeyError's words are an option that we set, for one request or for good."""
    key = words.strip("'\"")
    options = body.get("override_settings")
    return key in (options if isinstance(options, Mapping) else body)
