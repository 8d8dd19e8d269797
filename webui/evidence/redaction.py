"""What may leave in a file, a log, an event or a message: texts without the words of a request, without credentials.

A server's traceback repeats the prompt, or some words of it, or a piece that it cut anywhere. So whole strings,
their parts and their single words are taken out. Payloads are shaped in `payload_shape`.
"""

from __future__ import annotations

import getpass
import html
import json
import re
import socket
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from webui.errors import WebUIError
from webui.evidence.payload_shape import hidden_strings
from webui.evidence.technical_words import TECHNICAL_WORDS
from webui.models import Node
from webui.nodes.connecting import token_of
from webui.work.unit import Request

REMOVED: Final = "[removed]"
LEAST_WORD: Final = 4
"""Letters of a word that is taken out alone; of other scripts than Latin, half as many say as much."""
LEAST_TEXT: Final = 3
"""Characters of a whole text, or of a part between commas, that is taken out."""
LEAST_GLUED: Final = 8
"""Letters of a word that is taken out even from the middle of a longer one."""
LEAST_CUT: Final = 5
"""Letters of a piece, cut off at one end, that is still recognised as part of a hidden word; at most the next."""
LONGEST_CUT: Final = 64

GENERIC_NAMES: Final = frozenset({"admin", "localhost", "root", "token", "ubuntu", "user", "webui"})
"""Names of hosts and accounts that identify nobody."""

_WORD = re.compile(r"[^\W_]+")
_ERROR_CLASS = re.compile(r"[A-Z][A-Za-z]*(?:Error|Exception|Exit|Interrupt|Warning)")
_REMOVED_RUN = re.compile(r"\[removed\](?:[\s,]+\[removed\])+")
_ESCAPES = re.compile(r"%[0-9a-f]{2}|\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|[nrtbf])|&(?:[a-z]+|#x?[0-9a-f]+);")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}")
_VALUE = r"""['"]?\s*[:=]\s*['"]?([^\s'",)}]+)"""
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"<(?:lora|lyco|hypernet):([^<>\n]*)",
        r"://([^\s/@]+)@",
        r"[?&]\w*(?:token|key|secret|signature|auth|pass)\w*=([^\s&'\"]+)",
        r"\bauthorization['\"]?\s*[:=]\s*['\"]?((?:basic|bearer)?\s*[^\s'\",]+)",
        r"\b(?:basic|bearer)\s+([a-z0-9+/=._-]{8,})",
        r"--(?:api-auth|gradio-auth|gradio-auth-path|ngrok|tls-keyfile)['\"]?[\s=,]+['\"]?([^\s'\"\]]+)",
        r"\b(?:api_auth|gradio_auth|password|passwd|secret|api_?key|(?:access|auth|hf|ngrok)_token)" + _VALUE,
        r"\b((?:hf_|gh[opsu]_|github_pat_|glpat-|sk-|xox[abps]-|akia)[a-z0-9_-]{16,})",
        r"\b(eyj[a-z0-9_-]{10,}\.[a-z0-9_-]{10,}(?:\.[a-z0-9_-]*)?)",
        r"(?:/home/|/users/|\\users\\)([^/\\\s'\":]+)",
        r"data:[\w/+.-]+;base64,([a-z0-9+/=]*)",
        r"([a-z0-9+/]{72,}={0,2})",
        # Requests before this one, of which we know nothing any more, in an older line of the same log.
        r"prompt['\"]?\s*[:=]\s*'((?:\\.|[^'\\\n])+)",
        r"prompt['\"]?\s*[:=]\s*\"((?:\\.|[^\"\\\n])+)",
        r"^\*\*\* arguments:\s*([^\n]+)",
        r"\bnegative prompt:\s*([^\n]+)",
        r"\binput_value=([^\n]+?)(?:, input_type=|$)",
    )
)
"""The first group of each is taken out."""


@dataclass(frozen=True)
class Secrets:
    """What must not stand in a text: `texts` anywhere in it, `words` as words of their own, in any case.

    `harmless` words stay though they may be pieces of hidden ones, as technical words do.
    """

    texts: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    pictures: tuple[str, ...] = ()
    harmless: frozenset[str] = frozenset()

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(
            self.texts | other.texts,
            self.words | other.words,
            self.pictures + other.pictures,
            self.harmless | other.harmless,
        )

    @cached_property
    def pieces(self) -> frozenset[str]:
        """What is left of a word when a text is cut in the middle of it."""
        return frozenset(piece for word in self.words for piece in _pieces(word))


def secrets_of(request: Request | None = None, *, node_id: int | None = None) -> Secrets:
    """Of a request, of the node that it goes to, and of the machine that we run on."""
    hidden, pictures = hidden_strings(request) if request is not None else ([], [])
    node = Node.objects.filter(pk=node_id).first() if node_id is not None else None
    names = (*_own_names(), *(names_of_node(node) if node is not None else ()))
    return Secrets(pictures=tuple(pictures)) | secrets_in(hidden, names)


def secrets_in(hidden: Iterable[str], names: Iterable[str] = ()) -> Secrets:
    """Of texts, whole and word by word, and of names that are taken out as they are."""
    texts, words = set[str](), set[str]()
    for name in names:
        # A short name would be found inside of other words.
        (texts if len(name) >= LEAST_GLUED or not _WORD.fullmatch(name) else words).add(_fold(name))
    for text in hidden:
        for word in filter(_tells, _WORD.findall(text)):
            words.add(_fold(word))
            if len(word) >= LEAST_GLUED or not word.isascii():
                texts |= _as_written(word)
        for part in map(str.strip, (text, *re.split(r"[,\n\r]", text))):
            if len(part) >= LEAST_TEXT and not part.isdigit() and part.lower() not in TECHNICAL_WORDS:
                texts |= _as_written(part)
    return Secrets(frozenset(texts), frozenset(words))


def redact_text(text: str, secrets: Secrets) -> str:
    """The text with every secret replaced by `REMOVED`, and what looks like a password or a picture too."""
    folded = _fold(text)
    # "%20castle" and "\\ncastle" hold the word too.
    plain = _ESCAPES.sub(lambda escape: " " * len(escape[0]), folded)
    spans = {*_pictures(text, secrets), *_looks(text)}
    for one in {folded, plain}:
        spans |= {*_literals(one, secrets), *_words(one, secrets)}
    parts: list[str] = []
    kept_to = 0
    for start, end in sorted(spans):
        if end <= kept_to:
            continue
        if start > kept_to or not parts:
            parts += [text[kept_to:start], REMOVED]
        kept_to = end
    return "".join([*parts, text[kept_to:]])


def redact_unknown(text: str) -> str:
    """For a line of a log when nobody knows whose words it may repeat: only what logs are made of stays."""
    told = _WORD.sub(lambda word: word[0] if _is_of_logs(word[0]) else REMOVED, text)
    return _REMOVED_RUN.sub(REMOVED, told)


def _is_of_logs(word: str) -> bool:
    known = word.lower() in TECHNICAL_WORDS or _ERROR_CLASS.fullmatch(word) is not None
    return known or word.isdigit() or (word.isascii() and len(word) < LEAST_TEXT)


class CauseError(Exception):
    """The classes of what an error was caused by; their words may repeat the request and stay behind."""


def redact_error(error: WebUIError, secrets: Secrets) -> WebUIError:
    """The same error, its own words redacted and its causes reduced to their names."""
    error.words = redact_text(error.words, secrets)
    error.args = (error.words,)
    if error.error_class is not None:
        error.error_class = redact_text(error.error_class, secrets)
    if not isinstance(error.__cause__, CauseError):
        names = _cause_names(error)
        error.__cause__ = CauseError(" < ".join(names)) if names else None
    error.__context__ = None
    return error


def _cause_names(error: BaseException) -> list[str]:
    names: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(names) < 8:
        names.append(str(cause) if isinstance(cause, CauseError) else type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return names


def _own_names() -> Iterator[str]:
    """Of this machine, this account and its home."""
    for ask in (socket.gethostname, getpass.getuser, lambda: str(Path.home())):
        try:
            name = ask()
        except (OSError, KeyError, RuntimeError, ImportError):
            continue
        if len(name) >= 3 and name.lower() not in GENERIC_NAMES:
            yield name


def names_of_node(node: Node) -> Iterator[str]:
    """Its host and its credentials, in every form in which they are sent."""
    host = urlsplit(node.base_url).hostname or ""
    if host and host.lower() not in GENERIC_NAMES and host != "::1" and not host.startswith("127."):
        yield host
    if token := token_of(node):
        yield token
    user, _, password = node.api_auth.partition(":")
    if node.api_auth:
        yield node.api_auth
        yield b64encode(node.api_auth.encode()).decode("ascii")
    for name in (user, password):
        if len(name) >= 3 and name.lower() not in GENERIC_NAMES:
            yield name
            # As an address carries it.
            yield quote(name, safe="")


def _fold(text: str) -> str:
    """Without regard to case, and every character still in its place."""
    if text.isascii():
        return text.lower()
    return "".join(next((one for one in (c.casefold(), c.lower()) if len(one) == 1), c) for c in text)


def _tells(word: str) -> bool:
    """Whether a word alone would tell something of the text that it is from."""
    if word.isdigit() or word.lower() in TECHNICAL_WORDS:
        return False
    return len(word) >= (LEAST_WORD if word.isascii() else LEAST_WORD // 2)


def _as_written(text: str) -> set[str]:
    """The forms in which servers, shells and pages repeat a text, folded."""
    forms = {
        text,
        repr(text)[1:-1],
        ascii(text)[1:-1],
        json.dumps(text)[1:-1],
        html.escape(text),
        quote(text, safe="", errors="replace"),
    }
    return {_fold(form) for form in forms}


def _pieces(word: str) -> Iterator[str]:
    least = LEAST_CUT if word.isascii() else LEAST_WORD // 2
    for length in range(least, min(len(word), LONGEST_CUT)):
        yield word[:length]
        yield word[-length:]


def _literals(folded: str, secrets: Secrets) -> Iterator[tuple[int, int]]:
    for text in secrets.texts:
        glued = (len(text) >= LEAST_GLUED or not text.isascii()) and _WORD.fullmatch(text) is not None
        start = folded.find(text)
        while start >= 0:
            end = start + len(text)
            if glued or not (_continues(folded, start) or _continues(folded, end)):
                yield start, end
            start = folded.find(text, start + 1)


def _continues(text: str, position: int) -> bool:
    """Whether a word goes on across this position."""
    return text[position - 1 : position].isalnum() and text[position : position + 1].isalnum()


def _words(folded: str, secrets: Secrets) -> Iterator[tuple[int, int]]:
    for match in _WORD.finditer(folded):
        word = match[0]
        harmless = word in TECHNICAL_WORDS or word in secrets.harmless
        if word in secrets.words or (word in secrets.pieces and not harmless):
            yield match.span()


def _pictures(text: str, secrets: Secrets) -> Iterator[tuple[int, int]]:
    if secrets.pictures:
        for match in _BASE64.finditer(text):
            if any(match[0] in picture for picture in secrets.pictures):
                yield match.span()


def _looks(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if match[1]:
                yield match.span(1)
