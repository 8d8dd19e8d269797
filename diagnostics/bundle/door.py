"""The one door into a bundle: what passes is without prompts, credentials, hosts, people and folders of this machine.

What must be taken out is gathered in `secret_words`; how a text is searched for it is `webui.evidence.redaction`'s.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from diagnostics.bundle.our_words import our_values
from diagnostics.evidence.artifacts import CONTENTS
from webui.evidence.redaction import REMOVED, Secrets, redact_text
from webui.nodes.asking import OURS
from webui.words import writable

#: Longest text of one value, in characters; of a tail it is the end that counts.
MOST_CHARS: Final = 256 * 1024
MOST_ITEMS: Final = 5_000
MOST_LEVELS: Final = 20
LEAST_CODED_BYTES: Final = 8
"""Of a text that a run of base64 must hold to be taken for one."""
PUBLIC_HOSTS: Final = frozenset(
    {
        "localhost",
        "[::1]",
        "huggingface.co",
        "github.com",
        "raw.githubusercontent.com",
        "download.pytorch.org",
        "pytorch.org",
        "civitai.com",
    }
)
"""Hosts that tell nothing of an installation."""

_OWN_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_HOME: Final = re.compile(r"(?:[A-Za-z]:)?(?:/home/|/Users/|\\+Users\\+)(?:\[removed\]|[^/\\\s'\":]+)", re.I)
_NAME: Final = r"[^\\/\s'\":,;()<>|*?{}\[\]]+"
_LONG_PATH: Final = re.compile(
    rf"(?<![\w.:/\\-])(?:(?:~|[A-Za-z]:)?(?:/+{_NAME}){{3,}}"
    rf"|(?:~|[A-Za-z]:)(?:\\+{_NAME}){{2,}}"
    # A share of another machine; escaped letters look alike.
    rf"|\\\\+(?!u[0-9a-f]{{4}}){_NAME}(?:\\+{_NAME})+)"
)
_CODED: Final = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_ADDRESS: Final = re.compile(r"(?<=://)(?:[^\s/@]*@)?(\[removed\]|\[[0-9a-fA-F:]+\]|[^\s/:'\"<>\])},;]+)")
_NUMBERED_HOST: Final = re.compile(r"(?<![\w.])(?!127\.|0\.0\.0\.0)\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\.\d)")
_MAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(?:Z|[+-]\d\d:\d\d)?")
_PEOPLE: Final = frozenset({"by", "queued_by", "paused_by", "wish_by", "cancel_requested_by"})
"""Fields that hold somebody's name and nothing else."""
_OUR_FILES: Final = frozenset({"artifact_paths", "artifacts"})
"""Fields that hold paths of evidence, relative to the output folder."""


@dataclass(frozen=True, slots=True)
class Door:
    """What is taken out of names that servers list (credentials, hosts, people), and of all other texts (the words of
    prompts as well, also those of jobs before it on its nodes). `endpoints` are paths that stay whole.
    """

    names_without: Secrets
    texts_without: Secrets
    endpoints: frozenset[str] = frozenset()
    _seen: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """A sentence, a value that anybody may have written, or lines of a log."""
        if text not in self._seen:
            self._seen[text] = self._without(text, self.texts_without)
        return self._seen[text]

    def name(self, text: str) -> str:
        """A name of a server's own list: it stays, also where a prompt has the same word."""
        return self._without(text, self.names_without)[:300]

    def names(self, texts: Sequence[str]) -> list[str]:
        """The same for many at once."""
        flat = [" ".join(text.split())[:300] for text in texts]
        cleaned = self._without("\n".join(flat), self.names_without).split("\n")
        return cleaned if len(cleaned) == len(flat) else [self.name(text) for text in flat]

    def json(self, value: object, *, levels: int = MOST_LEVELS) -> Any:
        """Any document. Keys of our own kind stay; every other key, and every text, is looked at."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        if not levels:
            return REMOVED
        if isinstance(value, Mapping):
            return {self._key(key): self._field(key, one, levels - 1) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.json(one, levels=levels - 1) for one in list(value)[:MOST_ITEMS]]
        text = str(value)
        return text if text in our_values() or _MOMENT.fullmatch(text) else self.text(text)

    def _field(self, key: object, value: object, levels: int) -> Any:
        if key in _PEOPLE and isinstance(value, str):
            return somebody(value)
        if key in _OUR_FILES and isinstance(value, list | tuple):
            return [
                path
                for path in map(str, value)
                if Path(path).name in CONTENTS and not Path(path).is_absolute()
            ]
        return self.json(value, levels=levels)

    def _key(self, key: object) -> str:
        text = str(key)
        return text if _OWN_KEY.fullmatch(text) else self.text(text)

    def _without(self, text: str, secrets: Secrets) -> str:
        text = writable(text[-MOST_CHARS:])
        text = text.replace(str(settings.STABLENEW_DATA_DIR), "<data folder>")
        text = _HOME.sub("~", text)
        text = _LONG_PATH.sub(self._shortened, text)
        text = redact_text(text, secrets)
        text = _CODED.sub(_without_coded_text, text)
        text = _ADDRESS.sub(_without_host, text)
        return _NUMBERED_HOST.sub(REMOVED, _MAIL.sub(REMOVED, text))

    def _shortened(self, path: re.Match[str]) -> str:
        """Only the last two names of a path: the others tell of the machine."""
        if path[0] in self.endpoints:
            return path[0]
        return "…/" + "/".join(re.split(r"[\\/]+", path[0])[-2:])


def somebody(name: str) -> str:
    """In place of a person's name; parts of the program that act by themselves say so in brackets."""
    if not name:
        return ""
    return name if name in OURS else "somebody"


def hidden(text: str) -> dict[str, Any]:
    """In place of a text: enough to see that two are the same, or that one is empty."""
    content = text.encode("utf-8", errors="surrogatepass")
    return {"length": len(text), "sha256": hashlib.sha256(content).hexdigest()}


def _without_coded_text(run: re.Match[str]) -> str:
    """What is the base64 of a text, wherever in a longer one it begins: nobody wrote that for us to read."""
    letters = run[0].rstrip("=")
    for offset in range(4):
        whole = letters[offset:]
        if _is_text(b64decode(whole[: len(whole) // 4 * 4])):
            return REMOVED
    return run[0]


def _is_text(content: bytes) -> bool:
    """Letters of several bytes may be cut at both ends; bytes that came about by chance are hardly ever letters."""
    start = next((place for place, byte in enumerate(content[:4]) if byte & 0xC0 != 0x80), 0)
    for end in range(len(content), len(content) - 4, -1):
        try:
            text = content[start:end].decode()
        except UnicodeDecodeError:
            continue
        told = sum(letter.isalnum() or letter in " ,.:_-" for letter in text)
        return end - start >= LEAST_CODED_BYTES and text.isprintable() and told >= 0.8 * len(text)
    return False


def _without_host(found: re.Match[str]) -> str:
    host = found[1].lower()
    try:
        known = (
            host in PUBLIC_HOSTS
            or host == REMOVED
            or (urlsplit(f"//{host}").hostname or "").startswith("127.")
        )
    except ValueError:
        known = False
    return found[1] if known else REMOVED
