"""The input pictures that were put here, by SHA-256; bounded, the least recently used one goes first."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webui.work.fitting import read_rgb

MAX_FILES: Final = 64
MAX_BYTES: Final = 512 * 1024 * 1024


class HashDiffersError(ValueError):
    """What arrived has another SHA-256."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"What arrived has the SHA-256 {sha256}. Send the picture again.")


@dataclass(frozen=True, slots=True)
class KeptInput:
    """Its size as it is seen, with the EXIF orientation applied."""

    sha256: str
    size_bytes: int
    width_px: int
    height_px: int


class WorkerInputs:
    """Every method may be called by any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        # Decoding may take hundreds of megabytes: one after the other.
        self._decoding = threading.Lock()
        self._kept: OrderedDict[str, KeptInput] = OrderedDict()
        self._pinned: frozenset[str] = frozenset()

    def get(self, sha256: str) -> KeptInput | None:
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
            return self._kept.get(sha256)

    def keep(self, sha256: str, content: bytes) -> tuple[KeptInput, bool]:
        """The picture, and whether it is new. Raises HashDiffersError, UnusableInputError, OSError."""
        came = hashlib.sha256(content).hexdigest()
        if came != sha256:
            raise HashDiffersError(came)
        with self._decoding:
            there = self.get(sha256)
            if there:
                return there, False
            with read_rgb(content) as picture:
                kept = KeptInput(sha256, len(content), *picture.size)
            (self.folder / sha256).write_bytes(content)
            with self._lock:
                self._kept[sha256] = kept
                self._make_room(sha256)
        return kept, True

    def pin(self, wanted: Iterable[str]) -> str | None:
        """Keeps these until the next call; returns the first that is missing, and then pins nothing."""
        with self._lock:
            names = tuple(wanted)
            missing = next((sha256 for sha256 in names if sha256 not in self._kept), None)
            if missing is None:
                self._pinned = frozenset(names)
                for sha256 in names:
                    self._kept.move_to_end(sha256)
            return missing

    def read(self, sha256: str) -> bytes:
        """Raises OSError."""
        return (self.folder / sha256).read_bytes()

    def _make_room(self, newest: str) -> None:
        while len(self._kept) > MAX_FILES or sum(one.size_bytes for one in self._kept.values()) > MAX_BYTES:
            unused = (sha256 for sha256 in self._kept if sha256 not in self._pinned and sha256 != newest)
            oldest = next(unused, None)
            if oldest is None:
                return
            del self._kept[oldest]
            (self.folder / oldest).unlink(missing_ok=True)
