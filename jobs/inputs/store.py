"""The store of input pictures: one file and one row for equal bytes, proved by hash before each use.

A file lies at `<input folder>/ab/<sha256>`, for this user alone, and is there before its row. A result that became an
input has a row without a file: its output is read. So has a picture that somebody gave and a job had made: the same
bytes are that result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import F, QuerySet

from jobs.errors import InputNotKeptError, InputRefusedError, RecordChangedError
from jobs.inputs.facts import InputFacts, read_made
from jobs.lifecycle import JobStatus
from jobs.models import InputPicture, OutputImage
from jobs.queue.storage import output_root, sentence_of
from webui.private_files import make_private_folder
from webui.whole_file import sync_directory, write_file

MAX_NAME_CHARS: Final = 200
ASKED_AT_ONCE: Final = 500
"""Hashes of one query: SQLite bounds the parameters of a statement."""


def input_root() -> Path:
    return Path(settings.STABLENEW_INPUT_DIR)


def path_of(sha256: str) -> Path:
    """Where the file of a picture that was given lies; that of a result lies in its output."""
    return input_root() / sha256[:2] / sha256


def keep(content: bytes, facts: InputFacts, *, name: str, by: str = "") -> InputPicture:
    """Store a picture, or find it: name and giver are those with which it first came.

    A file that was lost or changed meanwhile is written again. Not within a transaction: disks take their time.
    Raises `InputNotKeptError`.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != facts.sha256:
        raise InputNotKeptError(f"{name} changed while it was read. Try again.")
    row = InputPicture.objects.select_related("from_output").filter(sha256=digest).first()
    made = finished_pictures().filter(sha256=digest).order_by("id")
    result = row.from_output if row is not None else made.first()
    try:
        if not (_is_file(path_of(digest), digest) or (result and _is_file(_file_of(result), digest))):
            _write(content, digest)
    except OSError as exc:
        raise InputNotKeptError(sentence_of(exc, input_root())) from exc
    if row is not None:
        return row
    kept, _ = InputPicture.objects.get_or_create(
        sha256=digest,
        defaults={
            "size_bytes": facts.size_bytes,
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "format": facts.format,
            "name": name[:MAX_NAME_CHARS],
            "by": by,
            "from_output": result,
        },
    )
    return kept


def finished_pictures() -> QuerySet[OutputImage]:
    """Pictures that are results of completed jobs, of every stage."""
    return OutputImage.objects.filter(frames=None, take=F("job__take"), job__status=JobStatus.COMPLETED)


def keep_results(outputs: Sequence[OutputImage], *, by: str = "") -> list[InputRefusedError]:
    """Accepted results as inputs; nothing is copied. Why some cannot be one, or are not there as they were made.

    Two queries for up to `ASKED_AT_ONCE` of them.
    """
    digests = [output.sha256 for output in outputs]
    known = set(InputPicture.objects.filter(sha256__in=digests).values_list("sha256", flat=True))
    rows: dict[str, InputPicture] = {}
    refused: list[InputRefusedError] = []
    for output in outputs:
        try:
            content = _as_made(output)
            if output.sha256 not in known:
                rows.setdefault(output.sha256, _row_of(output, content, by))
        except InputRefusedError as exc:
            refused.append(exc)
    # Another one may have come by the same door meanwhile.
    InputPicture.objects.bulk_create(rows.values(), ignore_conflicts=True)
    return refused


def keep_result(output: OutputImage, *, by: str = "") -> InputPicture:
    """The same of one. Raises `InputRefusedError`."""
    for refusal in keep_results([output], by=by):
        raise refusal
    return InputPicture.objects.get(sha256=output.sha256)


def _name_of(output: OutputImage) -> str:
    return f"Picture {output.image_index + 1} of job {output.job_id}"


def _as_made(output: OutputImage) -> bytes:
    """Raises `InputRefusedError`."""
    name = _name_of(output)
    try:
        content = _file_of(output).read_bytes()
    except OSError as exc:
        raise InputRefusedError(f"{name} cannot be read ({exc.strerror}). Run its job again.") from exc
    if not _is(content, output.sha256):
        raise InputRefusedError(f"{name} is no longer the file that was made. Run its job again.")
    return content


def _row_of(output: OutputImage, content: bytes, by: str) -> InputPicture:
    facts = read_made(content, _name_of(output), sha256=output.sha256)
    return InputPicture(
        sha256=facts.sha256,
        size_bytes=facts.size_bytes,
        width_px=facts.width_px,
        height_px=facts.height_px,
        format=facts.format,
        name=Path(output.path).name[:MAX_NAME_CHARS],
        by=by,
        from_output=output,
    )


def open_input(sha256: str) -> bytes:
    """The bytes of a picture that was kept, proved by its hash.

    Raises `RecordChangedError` where they are missing or others, and OSError where the disk does not say: of a folder
    that is gone, no picture is missing for good.
    """
    row = InputPicture.objects.select_related("from_output").filter(sha256=sha256).first()
    if row is None:
        raise RecordChangedError(f"There is no input picture {sha256[:12]}.", sha256=sha256)
    if row.from_output is None:
        content = _read(path_of(sha256), input_root())
    else:
        content = _read(_file_of(row.from_output), output_root())
        if not _is(content, sha256) and input_root().is_dir():
            content = _read(path_of(sha256), input_root()) or content
    if content is None:
        raise RecordChangedError(f"The input picture {row.name} is missing.", sha256=sha256)
    if not _is(content, sha256):
        raise RecordChangedError(
            f"The input picture {row.name} no longer has the hash {sha256[:12]}.", sha256=sha256
        )
    return content


def unknown_of(hashes: Collection[str]) -> set[str]:
    """Those of these pictures that were never kept."""
    unknown, left = set(hashes), sorted(hashes)
    while left:
        found, left = left[:ASKED_AT_ONCE], left[ASKED_AT_ONCE:]
        unknown -= set(InputPicture.objects.filter(sha256__in=found).values_list("sha256", flat=True))
    return unknown


def _is(content: bytes | None, sha256: str) -> bool:
    return content is not None and hashlib.sha256(content).hexdigest() == sha256


def _read(path: Path, root: Path) -> bytes | None:
    """None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if not root.is_dir():
            raise FileNotFoundError(f"The folder {root} is not there.") from None
        return None


def _file_of(output: OutputImage) -> Path:
    return output_root() / output.path


def _is_file(path: Path, sha256: str) -> bool:
    try:
        return _is(path.read_bytes(), sha256)
    except FileNotFoundError:
        return False


def _write(content: bytes, sha256: str) -> None:
    """The folder is made at its first use alone: where pictures are known, its absence has a reason."""
    root, path = input_root(), path_of(sha256)
    if not root.is_dir():
        # Looked at again: another first picture may have made it, and its row, meanwhile.
        if InputPicture.objects.filter(from_output=None).exists() and not root.is_dir():
            raise FileNotFoundError(f"The folder of input pictures {root} is not there.")
        make_private_folder(root)
    is_new = not path.parent.is_dir()
    write_file(path, content, private=True)
    if is_new:
        sync_directory(root)
