"""A file from anybody: the `replay.json` in it, read within bounds and proved request by request."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from diagnostics.replay.document import FILE_NAME, ReplayDocument
from jobs.errors import JobsError

MOST_BYTES: Final = 256 * 1024**2
"""Of `replay.json`, which holds pictures; a small zip may say that it is a huge one."""
MOST_MEMBERS: Final = 1_000


class ReplayRefusedError(JobsError):
    """The file cannot be replayed; the words say why."""

    code = "replay"


def read_replay(path: Path) -> ReplayDocument:
    """Of a bundle or of the file alone; nothing is unpacked to the disk. Raises `ReplayRefusedError`."""
    try:
        content = _from_zip(path) if zipfile.is_zipfile(path) else _bounded(path)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
        raise ReplayRefusedError(f"{path.name} cannot be read: {exc}.") from exc
    try:
        return ReplayDocument.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise ReplayRefusedError(
            f"{path.name} is no {FILE_NAME} of StableNew: {place}: {first['msg']}."
        ) from None


def _from_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > MOST_MEMBERS:
            raise ReplayRefusedError(f"{path.name} holds more files than a bundle has.")
        if FILE_NAME not in archive.namelist():
            raise ReplayRefusedError(
                f"{path.name} has no {FILE_NAME}: only a bundle with prompts has one. "
                "Make it with `jobs bundle ID --with-prompts`."
            )
        with archive.open(FILE_NAME) as member:
            # What the zip says of its size proves nothing.
            return _within(member.read(MOST_BYTES + 1), path)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return _within(file.read(MOST_BYTES + 1), path)


def _within(content: bytes, path: Path) -> bytes:
    if len(content) > MOST_BYTES:
        raise ReplayRefusedError(f"The {FILE_NAME} of {path.name} is larger than {MOST_BYTES // 1024**2} MB.")
    return content
