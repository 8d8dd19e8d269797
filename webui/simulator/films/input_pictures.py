"""Input pictures: decoded within bounds, upright and without transparency, and kept by their hash."""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import IO

from PIL import Image, ImageOps

from webui.simulator.films.answers import TurnedAwayError
from webui.simulator.films.limits import MAX_INPUT_PIXELS

MOST_FILES = 64
MOST_BYTES = 512 * 1024 * 1024
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")
#: A JPEG with a second picture behind it, as cameras write: only the first one is shown.
STILLS = {"MPO"}
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    RuntimeError,  # broken AVIF
    struct.error,
    zlib.error,
)
"""Broken files make the decoders raise whatever they meet."""


def decoded(content: bytes) -> Image.Image:
    """The picture in RGB. Raises TurnedAwayError where it is none, is too large, or moves."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_INPUT_PIXELS:
                raise _no_picture(
                    f"it has {image.width} x {image.height} pixels, {MAX_INPUT_PIXELS:,} are taken"
                )
            if getattr(image, "n_frames", 1) > 1 and image.format not in STILLS:
                raise _no_picture("it is an animation")
            image.load()
            return _flattened(ImageOps.exif_transpose(image))
    except BROKEN as error:
        raise _no_picture(str(error) or type(error).__name__) from None
    except Image.DecompressionBombError:
        raise _no_picture("it has too many pixels") from None


def _flattened(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        ground.alpha_composite(image.convert("RGBA"))
        return ground.convert("RGB")
    return image.convert("RGB")


def _no_picture(why: str) -> TurnedAwayError:
    return TurnedAwayError(422, "no_picture", f"These bytes are no picture that can be used: {why}.")


class SimulatedInputs:
    """Bounded: the one that was used least recently goes first, unless a job still needs it.

    Kept in files without a name, so that nothing is left of them however the process ends.
    """

    def __init__(self, in_use: Callable[[], Collection[str]]) -> None:
        self._in_use = in_use
        self._guard = threading.Lock()
        self._files: OrderedDict[str, tuple[IO[bytes], int]] = OrderedDict()
        self._decoding = threading.Lock()

    def __contains__(self, sha256: str) -> bool:
        with self._guard:
            if sha256 in self._files:
                self._files.move_to_end(sha256)
            return sha256 in self._files

    def put(self, sha256: str, content: bytes) -> tuple[int, int]:
        """Width and height of the picture. Raises TurnedAwayError."""
        truth = hashlib.sha256(content).hexdigest()
        if truth != sha256:
            raise TurnedAwayError(422, "hash_differs", f"The bytes that came have the SHA-256 {truth}.")
        with self._decoding:
            size = decoded(content).size
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives longer than this call
        file.write(content)
        file.flush()
        needed = set(self._in_use())
        with self._guard:
            if sha256 in self._files:
                file.close()
                return size
            self._files[sha256] = (file, len(content))
            for old in [one for one in self._files if one not in needed and one != sha256]:
                if len(self._files) <= MOST_FILES and self._bytes <= MOST_BYTES:
                    break
                self._files.pop(old)[0].close()
        return size

    def picture(self, sha256: str) -> Image.Image:
        """Raises TurnedAwayError."""
        with self._guard:
            if sha256 not in self._files:
                raise TurnedAwayError(422, "missing_input", f"The picture {sha256} is not here.")
            file, _ = self._files[sha256]
            file.seek(0)
            content = file.read()
        return decoded(content)

    @property
    def _bytes(self) -> int:
        return sum(size for _, size in self._files.values())
