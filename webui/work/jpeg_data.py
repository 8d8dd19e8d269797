"""Whether the pixel data of a JPEG is all there, whatever its end mark says.

A decoder takes one whose data ends early for whole, and leaves grey or coarse what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from PIL import Image, ImageChops

from webui.work.pictures import NoPictureError, open_picture

_MARK: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""What ends the data of a scan; the other marks stand within it."""
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _SCAN, _END = 0xC2, 0xDA, 0xD9
_SHORTEST_SCAN_BYTES: Final = 6
_MOST_SCANS: Final = 100
"""Encoders write some ten. Each is a walk over the whole picture, so that many in a small file cost hours."""
_COEFFICIENTS: Final = 64
_SMALLER: Final = 4
_SMALL_FROM_PX: Final = 256
_FILLING: Final = bytes(range(1, 128)) * 2
"""Data that means something to a decoder that still needs some, and nothing to one that has all."""
_LOUD_BIT: Final = 5
"""What a scan tells of the detail counts for so much more, that the finest detail is seen when it changes, also in a
small picture. How the scan is read does not depend on it."""


class _Segment(NamedTuple):
    """`begin` is the place of its mark, `end` the one behind its `data`."""

    kind: int
    begin: int
    end: int
    data: bytes


def share_present(content: bytes) -> float:
    """How much of the picture its data reaches to, 0-1, by rows; of several scans the one that ends first counts.

    It is decoded twice, once with other data behind that of each scan: what changes was not there. Both at a quarter
    of its size where it is large: all of the file is read, for a fraction of the memory. Raises one of `BROKEN`, and
    `NoPictureError` where whole scans are missing.
    """
    whole, filled = map(_decoded, _to_compare(content))
    changed = ImageChops.difference(whole, filled).getbbox()
    return changed[1] / whole.height if changed else 1.0


def _to_compare(content: bytes) -> tuple[bytes, bytes]:
    """The file with its detail made loud, and the same with a filling behind the data of each scan."""
    whole, filled = bytearray(), bytearray()
    at = 0
    progressive = False
    unknown_bits: dict[tuple[int, int], int] = {}
    for segment, behind in pairwise(_segments(content)):
        if segment.kind in _FRAMES:
            progressive = segment.kind == _PROGRESSIVE
            unknown_bits = {(one, place): 1 for one in segment.data[6::3] for place in range(_COEFFICIENTS)}
        elif segment.kind == _SCAN and len(segment.data) >= _SHORTEST_SCAN_BYTES:
            first, last, bits = segment.data[-3:] if progressive else (0, _COEFFICIENTS - 1, 0)
            parts = ((one, place) for one in segment.data[1:-3:2] for place in range(first, last + 1))
            unknown_bits |= dict.fromkeys(parts, bits & 15)
            if first:
                bits = (_LOUD_BIT + 1) << 4 | _LOUD_BIT if bits >> 4 else _LOUD_BIT
                before = content[at : segment.end - 1] + bytes((bits,))
            else:
                before = content[at : segment.end]
            data = content[segment.end : behind.begin]
            # A decoder that misses what comes after a restart mark reads on only behind that mark.
            restart = bytes((0xFF, 0xD0 + len(_RESTART.findall(data)) % 8))
            whole += before + data
            filled += before + data + _FILLING + restart + _FILLING
            at = behind.begin
    if any(unknown_bits.values()):
        raise NoPictureError("parts of its pixel data are missing")
    return bytes(whole + content[at:]), bytes(filled + content[at:])


def _decoded(content: bytes) -> Image.Image:
    with open_picture(content) as picture:
        if min(picture.size) >= _SMALL_FROM_PX:
            picture.draft(picture.mode, (picture.width // _SMALLER, picture.height // _SMALLER))
        return picture.convert("RGB")


def _segments(content: bytes) -> Iterator[_Segment]:
    """Of the first picture, to its end mark; what stands between them is passed over, as decoders do.

    Raises `NoPictureError` for more scans than a picture has.
    """
    at, scans = 2, 0
    while mark := _MARK.search(content, at):
        [kind] = mark[1]
        at = mark.end()
        scans += kind == _SCAN
        if scans > _MOST_SCANS:
            raise NoPictureError(f"it has more than {_MOST_SCANS} scans")
        if kind != _END:
            at += int.from_bytes(content[at : at + 2])
        yield _Segment(kind, mark.start(), at, content[mark.end() + 2 : at])
        if kind == _END:
            return
