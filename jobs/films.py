"""Films as servers send them: decoded whole and counted, frame by frame. The one place that imports PyAV.

    facts = read_film(content)      raises `NoFilmError`, whose words say what is wrong

What is refused and what is found costs a job its retry, so the two tolerances were measured, on H.264 of libx264 at
832 x 480 with a photo, noise, a drawing and a gradient:

| every block of 8 x 8 pixels against the same one of the first frame | largest difference, levels of 255 |
| --- | --- |
| the same picture 33 times, crf 5 (as the workers write) | 0 to 2 |
| the same, crf 18 and 23 | 0 to 3 |
| the same, crf 28, fastest preset | 0 to 7 |
| 16 x 16 pixels that blink by 10 levels, crf 5 to 23 | 9 to 11 |
| 32 x 32 pixels that blink by 6 levels, crf 5 to 23 | 6 to 7 |
| everything one level brighter every fourth frame | 9 to 13 |
| 4 x 4 pixels that move by one pixel every fourth frame | 30 to 37 |

Decoding and looking takes 2 to 5 ms for each frame of that size on one core. PyAV and Pillow let go of the interpreter
lock meanwhile.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops

from jobs.errors import NoFilmError
from webui.work.limits import I2V, Limit

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STILL_LEVELS: Final = 4
"""Of 255: no block of a film that stands still differs by more from the first frame's."""
FLAT_LEVELS: Final = 8
"""Of 255: within so many lies every channel of a frame of one colour, as of a picture (`jobs.truth.look`)."""
BLOCK_PX: Final = 8
"""Noise of the encoder is nothing on average over a block, and what moves is more than that."""
CODEC: Final = "h264"
"""What browsers play, and the only decoder that bytes from elsewhere reach."""
POSTER_QUALITY: Final = 88
MOST_COMMENT: Final = 16_384
"""Characters of what a film says of itself."""
MOST_BOXES: Final = 1_000
"""At the top of a file; a film has four."""


def _highest(name: str) -> int:
    limit = I2V[name]
    if not isinstance(limit, Limit):
        raise TypeError(f"{name} has a range")
    return int(limit.high)


MOST_FRAMES: Final = _highest("num_frames")
MOST_PIXELS: Final = _highest("width") * _highest("height")
MOST_BYTES: Final = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What a film is. `poster` is its first frame as a JPEG, `comment` what it says of itself.

    `faststart`: a browser can begin before it has everything. `flat`: every frame has one colour; `black`: and that is
    black. `still`: nothing moves. Films with equal frames have an equal `fingerprint`.
    """

    width_px: int
    height_px: int
    frames: int
    fps: float
    duration_s: float
    faststart: bool
    poster: bytes
    flat: bool
    black: bool
    still: bool
    fingerprint: str
    comment: str = ""


def is_film(content: bytes) -> bool:
    """Whether these bytes begin as an mp4 does; what they hold is not known."""
    return content[4:8] == b"ftyp"


def read_film(content: bytes, *, most_frames: int = MOST_FRAMES, most_pixels: int = MOST_PIXELS) -> FilmFacts:
    """Decode every frame, one at a time; what is larger than it may be is not decoded.

    Raises `NoFilmError`, and MemoryError where this machine has none left.
    """
    # A fifth of what a node loads, and most nodes make no films.
    import av

    if len(content) > MOST_BYTES:
        raise NoFilmError(f"it has more than {MOST_BYTES:,} bytes")
    boxes = _boxes(content)
    try:
        # With the decoder's bounds: a first look at the tracks may decode, too.
        with av.open(
            io.BytesIO(content), "r", format="mp4", options=_decoder(most_pixels), metadata_errors="replace"
        ) as container:
            stream = _stream(container.streams.video)
            frames = _frames(container, stream, most_frames, most_pixels)
            seen = _Seen.of(frames)
            told = str(container.metadata.get("comment", ""))[:MOST_COMMENT]
            expected, fps = stream.frames, stream.average_rate or Fraction(0)
    except (av.FFmpegError, ValueError, ArithmeticError, LookupError) as exc:
        raise NoFilmError(f"it does not decode ({_words(exc)})") from exc
    if seen.count < expected:
        raise NoFilmError(f"it ends after {seen.count} of its {expected} frames")
    if not fps:
        raise NoFilmError("it has no frame rate")
    return FilmFacts(
        width_px=seen.first.width,
        height_px=seen.first.height,
        frames=seen.count,
        fps=round(float(fps), 3),
        duration_s=round(float(seen.count / fps), 3),
        faststart=boxes.index("moov") < boxes.index("mdat"),
        poster=_jpeg(seen.first),
        flat=seen.flat,
        black=seen.black,
        still=seen.still,
        fingerprint=f"film {seen.first.width}x{seen.first.height} {seen.count} {seen.checksum:08x}",
        comment=told,
    )


# --- the file ---------------------------------------------------------------------------------------


def _boxes(content: bytes) -> list[str]:
    """The boxes of its top level in order; every one is there to its end."""
    if not is_film(content):
        raise NoFilmError("it is no mp4")
    names: list[str] = []
    at = 0
    while at < len(content):
        size, header = int.from_bytes(content[at : at + 4]), 8
        if size == 1:
            size, header = int.from_bytes(content[at + 8 : at + 16]), 16
        if size == 0:
            size = len(content) - at
        if size < header or len(names) > MOST_BOXES:
            raise NoFilmError("it is broken between its parts")
        if at + size > len(content):
            raise NoFilmError(f"the file is cut off: {len(content):,} of at least {at + size:,} bytes")
        names.append(content[at + 4 : at + 8].decode("latin-1"))
        at += size
    if missing := [name for name in ("moov", "mdat") if name not in names]:
        raise NoFilmError(f"the file is cut off: it has no part {missing[0]!r}")
    return names


def _decoder(most_pixels: int) -> dict[str, str]:
    # What is broken is told instead of painted over.
    return {"max_pixels": str(most_pixels), "err_detect": "explode", "threads": "1"}


def _stream(streams: tuple[VideoStream, ...]) -> VideoStream:
    if len(streams) != 1:
        raise NoFilmError(f"it has {len(streams)} video tracks instead of one")
    stream = streams[0]
    # None where no decoder was found for it.
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown"
    if codec != CODEC:
        raise NoFilmError(f"its codec is {codec}, not {CODEC}")
    return stream


def _frames(
    container: InputContainer, stream: VideoStream, most_frames: int, most_pixels: int
) -> Iterator[VideoFrame]:
    context = stream.codec_context
    size = context.width, context.height
    _require_size(size, size, most_pixels)
    if stream.frames > most_frames:
        raise NoFilmError(f"it has {stream.frames:,} frames, more than {most_frames:,}")
    context.options = _decoder(most_pixels)
    for count, frame in enumerate(container.decode(stream), start=1):
        if count > most_frames:
            raise NoFilmError(f"it has more than {most_frames:,} frames")
        if frame.is_corrupt:
            raise NoFilmError(f"its frame {count} is damaged")
        _require_size((frame.width, frame.height), size, most_pixels)
        yield frame


def _require_size(size: tuple[int, int], first: tuple[int, int], most_pixels: int) -> None:
    width, height = size
    if width * height > most_pixels:
        raise NoFilmError(f"{width:,} x {height:,} pixels are more than {most_pixels:,}")
    if size != first:
        raise NoFilmError("its frames change their size")


def _words(error: BaseException) -> str:
    # The library's own words name a file that it believes to read.
    words = getattr(error, "strerror", None) or str(error)
    return str(words) or type(error).__name__


# --- the frames -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    """What was seen of the frames so far; only the first is kept, and the blocks of it."""

    first: Image.Image
    _blocks: Image.Image
    count: int = 0
    flat: bool = True
    black: bool = True
    still: bool = True
    checksum: int = 0

    @classmethod
    def of(cls, frames: Iterator[VideoFrame]) -> _Seen:
        seen: _Seen | None = None
        for frame in frames:
            blocks = _blocks_of(frame)
            seen = seen or cls(_picture_of(frame), blocks)
            seen._look(frame, blocks)
        if seen is None:
            raise NoFilmError("it has no frames")
        return seen

    def _look(self, frame: VideoFrame, blocks: Image.Image) -> None:
        self.count += 1
        self.checksum = zlib.crc32(blocks.tobytes(), self.checksum)
        if self.still:
            difference = ImageChops.difference(self._blocks, blocks)
            self.still = max(most for _, most in _extrema(difference)) <= STILL_LEVELS
        if self.flat:
            # A fine pattern has one colour on average.
            self.flat = _is_flat(blocks) and _is_flat(_picture_of(frame))
        if self.black:
            self.black = self.flat and max(most for _, most in _extrema(blocks)) <= FLAT_LEVELS


def _blocks_of(frame: VideoFrame) -> Image.Image:
    """The frame with one pixel for each block, the average of it."""
    width, height = (max(1, side // BLOCK_PX) for side in (frame.width, frame.height))
    return _picture_of(frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA"))


def _picture_of(frame: VideoFrame) -> Image.Image:
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return picture


def _is_flat(picture: Image.Image) -> bool:
    return all(most - least <= FLAT_LEVELS for least, most in _extrema(picture))


def _extrema(picture: Image.Image) -> tuple[tuple[float, float], ...]:
    """Least and most of red, green and blue."""
    found = picture.getextrema()
    return tuple((float(least), float(most)) for least, most in found)  # type: ignore[misc]


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=POSTER_QUALITY, optimize=True)
    return stream.getvalue()
