"""One part of a file, as a browser asks for it to seek in a film (RFC 9110, section 14): read, checked, and sent.

Several parts at once, units other than bytes, and what cannot be read are answered with the whole file, as the standard
allows. Which file, and who may have it, is the view's to know.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from typing import IO, Final

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

#: A single range; a longer number than any file has is none.
_ONE_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FilePart:
    """The bytes from `first` to `last`, both counted from 0 and included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


class NoSuchPartError(Exception):
    """The file has none of the bytes that were asked for."""


def part_of(header: str, size: int) -> FilePart | None:
    """What a `Range` header asks of a file of `size` bytes; None for the whole. Raises `NoSuchPartError`."""
    found = _ONE_RANGE.fullmatch(header)
    first, last = found.groups() if found is not None else ("", "")
    if not first and not last:
        return None
    if not first:
        # The last so many bytes.
        if not int(last) or not size:
            raise NoSuchPartError
        return FilePart(max(0, size - int(last)), size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise NoSuchPartError
    return FilePart(int(first), min(int(last), size - 1) if last else size - 1)


def wanted_part(request: HttpRequest, size: int, etag: str) -> FilePart | None:
    """The part that this request wants of a file with this strong ETag. Raises `NoSuchPartError`.

    With `If-Range` only of the very file whose beginning the browser has; a date says nothing here and never fits.
    """
    header = request.headers.get("Range")
    if header is None or request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    return part_of(header, size)


def send_file(
    request: HttpRequest, file: IO[bytes], *, etag: str, content_type: str, filename: str, as_attachment: bool
) -> HttpResponseBase:
    """The open file, the part of it that is asked for (206), or that there is none (416). It is closed afterwards."""
    size = os.fstat(file.fileno()).st_size
    try:
        part = wanted_part(request, size, etag)
    except NoSuchPartError:
        file.close()
        refusal: HttpResponseBase = HttpResponse(
            f"The file has {size:,} bytes; none of those that were asked for are among them.",
            status=416,
            content_type="text/plain; charset=utf-8",
        )
        refusal["Cache-Control"] = "no-store"
        refusal["Content-Range"] = f"bytes */{size}"
        return refusal
    response = FileResponse(
        file if part is None else _PartOfFile(file, part),
        status=200 if part is None else 206,
        as_attachment=as_attachment,
        filename=filename,
        content_type=content_type,
    )
    response["Accept-Ranges"] = "bytes"
    if part is not None:
        response["Content-Range"] = f"bytes {part.first}-{part.last}/{size}"
    return response


class _PartOfFile(io.RawIOBase):
    """A part of a file as a file of its own; closing it closes the file."""

    def __init__(self, file: IO[bytes], part: FilePart) -> None:
        super().__init__()
        self._file = file
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._part.size - self._at)
        self._file.seek(self._part.first + self._at)
        content = self._file.read(left if size < 0 else min(size, left))
        self._at += len(content)
        return content

    def close(self) -> None:
        self._file.close()
        super().close()
