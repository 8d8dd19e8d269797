"""Looks for secrets in every byte of a bundle, in the forms that programs write texts in."""

from __future__ import annotations

import html
import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

LEAST_CODED = 6


@dataclass(frozen=True, slots=True)
class Found:
    seed: int
    source: str
    form: str
    file: str
    around: str


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """Name of a form, and the secret in it."""
    yield "as it is", secret
    yield "JSON", json.dumps(secret)[1:-1]
    yield "URL", quote(secret, safe="")
    yield "HTML", html.escape(secret)
    yield "repr", ascii(secret)[1:-1]
    content = secret.encode()
    if len(content) >= LEAST_CODED:
        for offset in range(3):
            coded = b64encode(b"\0" * offset + content).decode().rstrip("=")
            yield (
                "base64",
                coded[-(-offset * 8 // 6) : len(coded) - (1 if (len(content) + offset) % 3 else 0)],
            )


def search(content: bytes, secrets: Mapping[str, str], *, seed: int = 0) -> list[Found]:
    """Every occurrence of a secret (by the source that it was planted in) in names and contents of the zip."""
    found = []
    files = dict(_files(content))
    for source, secret in secrets.items():
        for form, text in dict.fromkeys(forms(secret)):
            for file, plain in files.items():
                # base64 has upper and lower case of its own; everything else may be written in either.
                where = plain.find(text) if form == "base64" else plain.lower().find(text.lower())
                if where >= 0:
                    around = plain[max(0, where - 60) : where + len(text) + 20]
                    found.append(Found(seed, source, form, file, around))
    return found


def _files(content: bytes) -> Iterable[tuple[str, str]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield "(names)", "\n".join(archive.namelist())
        for name in archive.namelist():
            yield name, archive.read(name).decode("utf-8", errors="replace")
