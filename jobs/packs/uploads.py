"""Packs from files that somebody sends: names and bytes in, sources out, or every reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from jobs.errors import DocumentError, PackReadError, UploadRefusedError
from jobs.packs.conversion import Converted, convert
from jobs.packs.document import parse_document
from jobs.packs.formats import Format, what_else
from jobs.packs.names import pack_name, shown_name
from jobs.packs.sources import MAX_FILE_BYTES, PackSource, decode

TEXT, DOCUMENT = ".txt", ".json"
MAX_TOGETHER_BYTES = 64 * 1024**2
"""A folder of the largest packs that people have is a tenth of it."""


def refuse_too_much(sizes: Iterable[int]) -> None:
    """Raises `UploadRefusedError` for files of so many bytes that nobody should read them at once."""
    size = sum(sizes)
    if size > MAX_TOGETHER_BYTES:
        together = f"These files are {size // 1024**2:,} MiB together"
        most = f"at most {MAX_TOGETHER_BYTES // 1024**2} MiB are imported at once"
        raise UploadRefusedError([f"{together}, and {most}: import them in several goes."])


def convert_uploads(sources: Sequence[PackSource], to: Format) -> list[Converted]:
    """The packs that texts of another format make. Raises `UploadRefusedError` with every problem of every file."""
    problems: list[str] = []
    made: list[Converted] = []
    for source in sources:
        try:
            made.append(convert(source, to))
        except PackReadError as exc:
            problems.append(str(exc))
    if problems:
        raise UploadRefusedError(problems)
    return made


def read_uploads(files: Sequence[tuple[str, bytes]]) -> list[PackSource]:
    """The packs that these files (name and bytes) make, by name; a `.txt` and a `.json` of one stem are one pack.

    Raises `UploadRefusedError` with every problem of every file.
    """
    problems: list[str] = []
    halves: dict[str, dict[str, str]] = {}
    unread: set[str] = set()
    for name, data in files:
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if suffix not in (TEXT, DOCUMENT):
            beginning = data[:1000].decode("utf-8-sig", errors="replace")
            words = what_else(suffix, beginning, "choose .txt files and the .json files beside them.")
            problems.append(f"{shown_name(name)} is no pack file: {words}")
            continue
        try:
            stem = pack_name(path.stem, name)
        except PackReadError as exc:
            problems.append(str(exc))
            continue
        if suffix in halves.get(stem, {}):
            problems.append(f"{name} was chosen twice: choose one file of that name.")
            continue
        try:
            halves.setdefault(stem, {})[suffix] = _read(name, suffix, data)
        except PackReadError as exc:
            unread.add(stem)
            problems.append(str(exc))
    sources = []
    for stem in sorted(halves):
        text, document = halves[stem].get(TEXT, ""), halves[stem].get(DOCUMENT, "")
        if not text and stem not in unread and document and not _has_slots(document):
            problems.append(f"{stem}.json holds settings but no rows: choose {stem}.txt together with it.")
        sources.append(PackSource(pack_id=stem, text=text, document=document))
    if problems:
        raise UploadRefusedError(problems)
    return sources


def _read(name: str, suffix: str, data: bytes) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise PackReadError(f"{name} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB.")
    text = decode(data, name)
    if suffix == DOCUMENT:
        try:
            parse_document(text)
        except DocumentError as exc:
            raise PackReadError(f"{name} is not valid JSON: {exc}.") from None
    return text


def _has_slots(document: str) -> bool:
    data = parse_document(document)
    own = data.get("pack_data", data)
    return isinstance(own, dict) and bool(own.get("slots"))
