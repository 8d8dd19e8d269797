"""A pack's content back to files. Importing them again gives the same revision, and so the same records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ExportRefused
from jobs.packs.sources import PackSource

_SUFFIXES = {".txt": "text", ".json": "document"}


@dataclass(frozen=True, slots=True)
class PackFile:
    path: Path
    content: bytes


def files_of(source: PackSource, folder: Path) -> tuple[PackFile, ...]:
    """The files that `read_source` reads as this pack. Raises ExportRefused where no such file can be.

    Text and JSON are written as they were read, to the byte: a revision is its content.
    """
    name = source.pack_id
    check_name(name)
    return tuple(
        PackFile(folder / f"{name}{suffix}", content.encode("utf-8"))
        for suffix, half in _SUFFIXES.items()
        if (content := getattr(source, half))
    )


def check_name(name: str) -> None:
    """Raises ExportRefused for a name that no file can have."""
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ExportRefused(f"Pack {name!r} has a name that no file can have here.")


def write_pack(source: PackSource, folder: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Write the pack's files; those with this very content are left alone.

    Raises ExportRefused, before anything is written, where another file would be replaced (unless `force`)
    or where a foreign half beside the files would be read as part of the pack; OSError from the disk.
    """
    files = files_of(source, folder)
    written = {file.path for file in files}
    for suffix in _SUFFIXES:
        beside = folder / f"{source.pack_id}{suffix}"
        if beside not in written and beside.exists():
            raise ExportRefused(f"{beside} is there and would be read as part of the pack; move it away.")
    for file in files:
        if not force and file.path.exists() and file.path.read_bytes() != file.content:
            raise ExportRefused(f"{file.path} is there with other content; use --force to replace it.")
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        file.path.write_bytes(file.content)
    return tuple(file.path for file in files)
