"""Files of simulated results: H.264 in an mp4 whose index comes first, and PNG."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

import av
from PIL import Image, PngImagePlugin

CODEC: Literal["libx264"] = "libx264"
FAST = {"preset": "ultrafast", "crf": "20", "bf": "0", "flags": "+bitexact"}
INDEX_FIRST = {"movflags": "+faststart", "fflags": "+bitexact"}
PNG_LEVEL = 1
CHUNK = "stablenew"


def mp4(frames: Iterator[Image.Image], size: tuple[int, int], fps: int, comment: dict[str, Any]) -> bytes:
    """Same frames, same bytes. In memory only: nothing is left of it however the process ends."""
    tick = Fraction(1, fps)
    content = io.BytesIO()
    with av.open(
        content, "w", format="mp4", options=INDEX_FIRST, io_open=lambda url, flags, options: _Again(content)
    ) as container:
        container.metadata["comment"] = json.dumps(comment)
        stream = container.add_stream(CODEC, rate=fps, options=FAST)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = tick
        # One thread: quick enough, and many simulators may run beside each other.
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_bytes(picture.convert("RGBA").tobytes(), *size)
            frame.pts, frame.time_base = number, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return content.getvalue()


class _Again(io.RawIOBase):
    """What the muxer has written so far: it reads that once more to bring the index to the front."""

    def __init__(self, content: io.BytesIO) -> None:
        super().__init__()
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with self._content.getbuffer() as whole:
            piece = bytes(whole[self._at : None if size < 0 else self._at + size])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._content.getbuffer().nbytes
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at


def png(picture: Image.Image, comment: dict[str, Any]) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(CHUNK, json.dumps(comment))
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=chunks, compress_level=PNG_LEVEL)
    return stream.getvalue()
