"""The pixel data of a PNG, without decoding it: is all of it there, and its first rows.

A decoder takes a PNG whose data stream ends early for whole, and leaves black what is missing. Undoing the filters of
a whole photograph takes longer than all other looks at it, so only the first rows are decoded. ISA-L unpacks in a third
of the time of zlib, which is what a look at a PNG mostly is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib
from PIL import Image

from webui.work.pictures import open_picture

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
STEP_BYTES: Final = 256 * 1024
"""So much is unpacked at a time: the data of a huge picture never stands in memory whole."""

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the colour type."""
_PASSES: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Of an interlaced picture: left, top, and the steps across and down."""


@dataclass(frozen=True, slots=True)
class PngData:
    """`packed` is the data stream; `before` what stands between header and data (palette, transparency)."""

    width_px: int
    height_px: int
    depth: int
    colour: int
    interlaced: bool
    packed: bytes
    before: bytes

    @property
    def expected_bytes(self) -> int:
        """Unpacked, with the filter byte of each row."""
        if not self.interlaced:
            return self.height_px * self._row_bytes(self.width_px)
        return sum(
            -(-(self.height_px - top) // down) * self._row_bytes(-(-(self.width_px - left) // across))
            for left, top, across, down in _PASSES
            if self.width_px > left and self.height_px > top
        )

    def _row_bytes(self, width_px: int) -> int:
        return 1 + -(-width_px * _CHANNELS[self.colour] * self.depth // 8)

    def share_present(self) -> float:
        """How much of the pixel data is there, 0-1; what stands behind it counts nothing."""
        expected, found = self.expected_bytes, 0
        unpacker = isal_zlib.decompressobj()
        data = memoryview(self.packed)
        try:
            for at in range(0, len(data), STEP_BYTES):
                part: bytes | memoryview = data[at : at + STEP_BYTES]
                while part and found < expected:
                    found += len(unpacker.decompress(part, 8 * STEP_BYTES))
                    part = unpacker.unconsumed_tail
                if found >= expected or unpacker.eof:
                    break
        except isal_zlib.error:  # type: ignore[misc]  # its stub calls the class an instance
            pass
        return min(1.0, found / expected) if expected else 0.0

    def top(self, rows: int) -> Image.Image | None:
        """The first rows, decoded; None where the picture is interlaced. Raises one of `BROKEN`."""
        if self.interlaced:
            return None
        rows = min(rows, self.height_px)
        # Packed data is hardly ever longer than it is unpacked.
        enough = rows * self._row_bytes(self.width_px) * 11 // 10 + 1024
        header = struct.pack(">IIBBBBB", self.width_px, rows, self.depth, self.colour, 0, 0, 0)
        content = b"".join(
            (
                SIGNATURE,
                _chunk(b"IHDR", header),
                self.before,
                _chunk(b"IDAT", self.packed[:enough]),
                _chunk(b"IEND", b""),
            )
        )
        with open_picture(content) as picture:
            picture.load()
            return picture


def read_png(content: bytes) -> PngData | None:
    """None where it is no PNG whose header can be read."""
    header: tuple[int, ...] = ()
    packed: list[bytes] = []
    before: list[bytes] = []
    for kind, data in _chunks(content):
        if kind == b"IHDR" and len(data) == 13:
            header = struct.unpack(">IIBBBBB", data)
        elif kind == b"IDAT":
            packed.append(data)
        elif kind in (b"PLTE", b"tRNS"):
            before.append(_chunk(kind, data))
    if not header or header[3] not in _CHANNELS or not header[0] or not header[1]:
        return None
    width, height, depth, colour, _, _, interlaced = header
    return PngData(width, height, depth, colour, bool(interlaced), b"".join(packed), b"".join(before))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        size_bytes = int.from_bytes(content[at : at + 4], "big")
        kind = content[at + 4 : at + 8]
        yield kind, content[at + 8 : at + 8 + size_bytes]
        if kind == b"IEND":
            return
        at += size_bytes + 12


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
