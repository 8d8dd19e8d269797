"""A pack's content as its author wrote it, and reading it from disk. What it means is for the parser."""

from __future__ import annotations

import hashlib
import os.path
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import DocumentError, PackReadError
from jobs.packs.document import parse_document
from jobs.packs.formats import what_else
from jobs.packs.names import other_spellings, pack_name, shown_name

MAX_FILE_BYTES = 16 * 1024 * 1024
PACK_SUFFIXES = (".txt", ".json")


@dataclass(frozen=True, slots=True)
class PackSource:
    """One pack: its unique name, its exact text ("" without a text file), its exact JSON ("" without one).

    `kind` is one of `webui.kinds`: what its rows make. The text of a film or edit pack is JSON Lines.
    """

    pack_id: str
    text: str
    document: str
    kind: str = "image"

    @property
    def sha256(self) -> str:
        """The revision of this content. The name is not part of it; the lengths keep the halves apart.

        A pack of pictures is framed as before there were other kinds: its revisions keep their names.
        """
        text, document = self.text.encode("utf-8"), self.document.encode("utf-8")
        head = b"stablenew pack 1" if self.kind == "image" else b"stablenew pack 1 %s" % self.kind.encode()
        framed = b"%s\n%d\n%s\n%d\n%s" % (head, len(text), text, len(document), document)
        return hashlib.sha256(framed).hexdigest()


def path_of(text: str) -> Path:
    """The path that somebody gave, whether or not anything is there; `~` is their home.

    Raises PackReadError for one that cannot be looked up: a name too long, a folder that may not be entered.
    """
    path = Path(os.path.expanduser(text))
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise PackReadError(f"{shown_name(text)} cannot be read: {error.strerror}.") from None
    return path


def read_source(path: Path) -> PackSource:
    """Read a pack from its `.txt` or `.json` and from the other of the two beside it, where there is one.

    Raises PackReadError for a file that cannot be read, is not UTF-8 or holds a NUL.
    """
    if path.suffix.lower() not in PACK_SUFFIXES:
        if not path.exists():
            raise PackReadError(f"{shown_name(str(path))} does not exist.")
        expected = "a .txt file, a .json file or a folder of them is expected."
        words = what_else(path.suffix.lower(), _beginning(path), expected)
        raise PackReadError(f"{shown_name(str(path))} is no pack: {words}")
    name = pack_name(path.stem, str(path))
    halves = {suffix: _beside(path, suffix) for suffix in PACK_SUFFIXES}
    text, document = (_read_text(half) for half in halves.values())
    if text is None and document is None:
        raise PackReadError(f"{path} does not exist.")
    return PackSource(pack_id=name, text=text or "", document=document or "")


def find_packs(path: Path) -> list[Path]:
    """The packs that a path names: the file itself, or one file per pack in a folder, sorted by name.

    A JSON without a text counts as a pack if it has slots: the others are presets. Raises PackReadError.
    """
    if not path.is_dir():
        return [path]
    try:
        files = sorted(path.iterdir(), key=lambda file: (file.stem.lower(), file.name))
    except OSError as error:
        raise PackReadError(f"{path} cannot be read: {error.strerror}.") from None
    found: dict[str, Path] = {}
    for file in files:
        if not file.name.startswith(".") and file.suffix.lower() in PACK_SUFFIXES and os.path.isfile(file):
            kept = found.setdefault(file.stem, file)
            if kept.suffix.lower() != ".txt" and file.suffix.lower() == ".txt":
                found[file.stem] = file
    packs = [file for file in found.values() if file.suffix.lower() == ".txt" or _has_slots(file)]
    if not packs:
        raise PackReadError(f"{path} holds no packs: no .txt file, and no .json file with slots.")
    return packs


def document_beside(path: Path) -> Path:
    """The JSON file of the pack at `path`."""
    return _beside(path, ".json")


def read_document_beside(path: Path) -> str:
    """The exact JSON of the file beside a list, "" where there is none. Raises PackReadError."""
    return _read_text(document_beside(path)) or ""


def _beside(path: Path, suffix: str) -> Path:
    """The half of a pack with that suffix; the suffix of the path given may be written in any case.

    Where there is none of that name, one whose name is spelt in another way (NFC, NFD) is it.
    """
    if path.suffix.lower() == suffix:
        return path
    beside = path.with_suffix(suffix)
    twins = (path.with_name(spelt + suffix) for spelt in other_spellings(path.stem))
    return beside if os.path.exists(beside) else next(filter(os.path.exists, twins), beside)


def _beginning(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1000).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def _has_slots(file: Path) -> bool:
    try:
        data = parse_document(_read_text(file) or "")
    except DocumentError:
        return True  # reading it as a pack will say what is wrong
    own = data.get("pack_data", data)
    return isinstance(own, dict) and bool(own.get("slots"))


def _read_text(file: Path) -> str | None:
    """The file's text; None where there is no such file."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise PackReadError(f"{file} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB.")
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PackReadError(f"{file} cannot be read: {error.strerror}.") from None
    return decode(data, str(file))


def decode(data: bytes, name: str) -> str:
    """The exact text of a file's bytes. Raises PackReadError, naming the file and the line."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = (
            "looks like UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"is not UTF-8 (line {line})"
        )
        raise PackReadError(f"{name} {what}; save it as UTF-8.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise PackReadError(f"{name} holds a NUL character in line {line}; remove it.")
    return text
