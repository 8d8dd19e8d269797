"""A pack of films or edits back to files: a list (`.jsonl`), its settings (`.json`), and a folder with its pictures.

The list names files, as people write lists; reading it again gives the very rows, because pictures are named by their
bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.errors import ExportRefused
from jobs.packs.export import check_name
from jobs.packs.forms import full_document
from jobs.packs.json_lines import line_of, text_of
from jobs.packs.pack import Pack
from jobs.packs.rows import PackRow, RowImage
from webui.whole_file import write_file
from webui.work.pictures import NoPictureError, read_header

_MAX_NAME_BYTES = 200
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif"}


@dataclass(frozen=True, slots=True)
class FilmExport:
    """What was written. `is_same`: importing these files again gives the same revision."""

    paths: tuple[Path, ...]
    pictures: int
    is_same: bool


def export_films(
    pack: Pack,
    folder: Path,
    picture_of: Callable[[str], bytes],
    *,
    as_imported: bool = False,
    force: bool = False,
) -> FilmExport:
    """Write the pack's files; those with this very content are left alone.

    Settings are written with every value as it counts, or as they were imported. `picture_of` gives the bytes of a
    SHA-256. Raises ExportRefused, before anything is written, where another file would be replaced (unless `force`) or
    a row cannot be read; what `picture_of` raises; OSError from the disk.
    """
    name = pack.source.pack_id
    check_name(name)
    if pack.text.problems or pack.unreadable:
        raise ExportRefused(f"Pack {name} cannot be read, so no list can be written of it.")
    document = pack.source.document if as_imported else full_document(pack)
    pictures = _files_of_pictures(pack, picture_of)
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in _lines(pack, pictures))
    files = {folder / f"{name}.jsonl": text.encode("utf-8")}
    if document:
        files[folder / f"{name}.json"] = document.encode("utf-8")
    _check(files, {folder / path: sha256 for sha256, path in pictures.items()}, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    for sha256, path in pictures.items():
        content = picture_of(sha256)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if _hash_of(folder / path) != sha256:
            write_file(folder / path, content)
    for path, content in files.items():
        path.write_bytes(content)
    is_same = document == pack.source.document and _text_again(pack, pictures) == pack.source.text
    return FilmExport(tuple(files), len(pictures), is_same)


def _text_again(pack: Pack, pictures: Mapping[str, Path]) -> str:
    """What reading the list again makes of it."""
    return text_of(
        line_of(
            [replace(image, name=pictures[image.sha256].name) for image in row.images],
            row.positive_text,
            row.negative_text,
        )
        for row in pack.rows
    )


def _files_of_pictures(pack: Pack, picture_of: Callable[[str], bytes]) -> dict[str, Path]:
    """Where each content goes, relative to the list: under its own name where that is a file's.

    A picture whose name another one has lies in a folder of its own.
    """
    folder = Path(f"{pack.source.pack_id}.pictures")
    found: dict[str, Path] = {}
    taken: dict[str, str] = {}
    for row in pack.rows:
        for image in row.images:
            if image.sha256 in found:
                continue
            name = _file_name(image, picture_of(image.sha256))
            first = taken.setdefault(name.casefold(), image.sha256)
            found[image.sha256] = (
                folder / name if first == image.sha256 else folder / image.sha256[:12] / name
            )
    return found


def _file_name(image: RowImage, content: bytes) -> str:
    name = image.name
    is_plain = name == name.strip() and not name.startswith(".") and not {"/", "\\"} & set(name)
    if is_plain and Path(name).suffix and len(name.encode("utf-8")) <= _MAX_NAME_BYTES:
        return name
    try:
        suffix = _SUFFIXES.get(read_header(content).format, "")
    except NoPictureError:
        suffix = ""
    return f"{image.sha256[:12]}{suffix}"


def _lines(pack: Pack, pictures: Mapping[str, Path]) -> Iterator[dict[str, object]]:
    for row in pack.rows:
        yield {
            "images": [pictures[image.sha256].as_posix() for image in row.images],
            "prompt": row.positive_text,
            **_refused(row),
        }


def _refused(row: PackRow) -> dict[str, object]:
    return {"negative_prompt": row.negative_text} if row.negative_text else {}


def _check(files: Mapping[Path, bytes], pictures: Mapping[Path, str], *, force: bool) -> None:
    for path, content in files.items():
        if not force and path.exists() and path.read_bytes() != content:
            raise ExportRefused(f"{path} is there with other content; use --force to replace it.")
    for path, sha256 in pictures.items():
        if not force and path.exists() and _hash_of(path) != sha256:
            raise ExportRefused(f"{path} is there with other content; use --force to replace it.")


def _hash_of(path: Path) -> str:
    """ "" where there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
