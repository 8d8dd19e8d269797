"""Films for tests, written by PyAV: small ones that move, and those that no server should send."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
from av.video.stream import VideoStream
from PIL import Image

from tests.sketches import sketch

SIZE = (64, 48)
FAST = {"preset": "ultrafast", "crf": "5"}


def film(
    size: tuple[int, int] = SIZE,
    frames: int = 9,
    *,
    shade: int = 0,
    fps: int = 16,
    codec: str = "libx264",
    options: Mapping[str, str] = FAST,
    faststart: bool = True,
    comment: str = "",
) -> bytes:
    """A light square that goes across a sketch; another `shade` is another film."""
    return encoded(
        moving(size, frames, shade),
        fps=fps,
        codec=codec,
        options=options,
        faststart=faststart,
        comment=comment,
    )


def frozen_film(size: tuple[int, int] = SIZE, frames: int = 9, **how: object) -> bytes:
    """The same picture from its first frame to its last."""
    return encoded([sketch(size, 3)] * frames, **how)  # type: ignore[arg-type]


def flat_film(
    size: tuple[int, int] = SIZE, frames: int = 9, colour: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    return encoded([Image.new("RGB", size, colour)] * frames)


def moving(size: tuple[int, int], frames: int, shade: int = 0) -> list[Image.Image]:
    pictures = []
    for number in range(frames):
        picture = sketch(size, shade)
        left = number * size[0] // (frames + 8)
        picture.paste((250, 250, 250), (left, 8, left + 16, 24))
        pictures.append(picture)
    return pictures


def encoded(
    pictures: Sequence[Image.Image],
    *,
    fps: int = 16,
    codec: str = "libx264",
    options: Mapping[str, str] = FAST,
    faststart: bool = True,
    comment: str = "",
    tracks: int = 1,
) -> bytes:
    """An mp4 of these frames."""
    how = {"movflags": "+faststart"} if faststart else {}
    with tempfile.TemporaryDirectory() as folder:
        # The second pass of faststart reads a file by its name.
        path = Path(folder) / "film.mp4"
        with av.open(str(path), "w", format="mp4", options=how) as container:
            container.metadata["comment"] = comment
            for _ in range(tracks):
                stream = container.add_stream(codec, rate=fps, options=dict(options))
                assert isinstance(stream, VideoStream)
                stream.width, stream.height = pictures[0].size
                stream.pix_fmt = "yuv420p"
            for stream in container.streams.video:
                for picture in pictures:
                    frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        return path.read_bytes()
