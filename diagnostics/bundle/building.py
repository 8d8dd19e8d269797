"""One zip about one job: made part by part into a file, so that memory holds one part at a time."""

from __future__ import annotations

import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Final

from django.conf import settings
from django.utils import timezone

from diagnostics.bundle.contents import Part, parts_of, telling_of
from diagnostics.bundle.readme import readme
from diagnostics.bundle.secret_words import door_of
from jobs.errors import JobsError, NotFoundError
from jobs.lifecycle import EventType
from jobs.models import Job
from jobs.queue.moves import note
from webui.words import count

AT_ONCE: Final = 2
"""Bundles that one process makes at the same time."""
IN_MEMORY_BYTES: Final = 1024 * 1024
FOR_README_BYTES: Final = 256 * 1024

_places = threading.BoundedSemaphore(AT_ONCE)


class BundlesBusyError(JobsError):
    """Other bundles are being made just now."""

    code = "bundles_busy"
    remediation = "Try again in a moment."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A finished zip, open at its beginning; who takes it closes it. `left_out` names what is not in, and why."""

    name: str
    file: IO[bytes]
    size_bytes: int
    left_out: tuple[tuple[str, str], ...]


def build_bundle(job_id: int, *, prompts_for: str = "") -> Bundle:
    """`prompts_for` names the person who takes the prompts out, too: an event of the job tells of it.

    Raises `NotFoundError`, `BundlesBusyError`; OSError where the machine has no room for the file.
    """
    job = Job.objects.select_related("record").filter(pk=job_id).first()
    if job is None:
        raise NotFoundError(f"There is no job {job_id}. Its number may be mistyped.")
    with _one_of_few():
        bundle = _build(job, with_prompts=bool(prompts_for))
    if prompts_for:
        try:
            note(job_id, EventType.BUNDLED_WITH_PROMPTS, data={"by": prompts_for})
        except BaseException:
            # What nobody is told of does not leave.
            bundle.file.close()
            raise
    return bundle


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise BundlesBusyError(f"{count(AT_ONCE, 'other bundle')} are being made just now.")
    try:
        yield
    finally:
        _places.release()


def _build(job: Job, *, with_prompts: bool) -> Bundle:
    at = timezone.now()
    door = door_of(job, with_prompts=with_prompts)
    telling = telling_of(job, door)
    room = max(0, settings.STABLENEW_BUNDLE_MAX_BYTES - FOR_README_BYTES)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's to close
    try:
        tried: list[Part] = []
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in parts_of(job, door, telling, with_prompts=with_prompts, most_bytes=room):
                kept = _fitting(part, room)
                if not kept.left_out:
                    _write(archive, kept.name, kept.content, at)
                    room -= len(kept.content)
                tried.append(replace(kept, content=b""))
            text = readme(job, telling, tried, door, at=at, with_prompts=with_prompts)
            _write(archive, "README.txt", text.encode()[:FOR_README_BYTES], at)
        size_bytes = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    left_out = tuple((part.name, part.left_out) for part in tried if part.left_out)
    name = f"job-{job.pk}{'-with-prompts' if with_prompts else ''}.zip"
    return Bundle(name, file, size_bytes, left_out)


def _fitting(part: Part, room: int) -> Part:
    if len(part.content) <= room:
        return part
    size = f"{len(part.content) / 1024**2:.1f} MB"
    why = f"it has {size} and did not fit: raise STABLENEW_BUNDLE_MAX_BYTES"
    return replace(part, content=b"", left_out=why)


def _write(archive: zipfile.ZipFile, name: str, content: bytes, at: datetime) -> None:
    member = zipfile.ZipInfo(name, at.timetuple()[:6])
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o600 << 16
    archive.writestr(member, content)
