"""What servers tell, in words of no server's own: readiness, progress, memory, pictures, and what was truly used."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

GIB = 1024**3
MIB = 1024**2


class ApiAnswer(enum.Enum):
    """What one question after the API met."""

    API = "api"
    NO_API = "no api"
    REFUSED = "refused"
    WRONG_PASSWORD = "wrong password"  # noqa: S105
    SILENT = "silent"
    """It accepts connections and does not answer."""
    UNCLEAR = "unclear"
    LOADING = "loading"
    """It says that it is getting ready."""
    FAILED = "failed"
    """It says that it cannot work, and will not become ready as it is."""


@dataclass(frozen=True)
class Asked:
    """`reason` says for a person what is wrong; empty where nothing is. `kind` is what it takes (`webui.kinds`), empty
    where it does not say.
    """

    answer: ApiAnswer
    reason: str = ""
    kind: str = ""


class Patience(enum.Enum):
    """For what a server is to be given time while it shows nothing new; how long, the settings say."""

    STEP = "step"
    """The next step of a film or an edit."""
    PHASE = "phase"
    """A part of such work that shows no steps: preparing, encoding, decoding, saving."""


class Fate(enum.Enum):
    """What became of a request whose sender is gone, by what its server still knows."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    DONE = "done"
    """Its result is there: whoever sends it again under its id gets that, and nothing is executed."""
    ENDED = "ended"
    """It failed, or was cancelled."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a server is with whatever it works on.

    `fraction` is 0-1; `picture` counts the pictures of the request from 0, `step` the steps within one. `idle`: it
    samples nothing just now, though a request may still be in flight. `fingerprint` differs between two looks
    whenever the server has moved; `disturbed`: the last request was interrupted or skipped. `patience` is for what it
    needs time now; None where `idle` says that. `phase` is what it does in a word or two, like "Encoding"; "" while it
    counts steps, or does not say.
    """

    fraction: float = 0.0
    eta_s: float = 0.0
    idle: bool = True
    picture: int = 0
    step: int = 0
    steps: int = 0
    fingerprint: tuple[object, ...] = ()
    disturbed: bool = False
    patience: Patience | None = None
    phase: str = ""


@dataclass(frozen=True)
class MemoryUse:
    """Bytes, by the names of the row's columns; None = not known."""

    ram_bytes: int | None = None
    vram_used_bytes: int | None = None
    vram_total_bytes: int | None = None

    def words(self) -> str:
        """As a person reads it; empty where nothing is known."""
        parts = []
        if self.ram_bytes is not None:
            parts.append(f"RAM {size_words(self.ram_bytes)}")
        if self.vram_used_bytes is not None and self.vram_total_bytes:
            parts.append(f"VRAM {_gib(self.vram_used_bytes)} of {_gib(self.vram_total_bytes)} GB")
        return ", ".join(parts)


UNKNOWN_MEMORY: dict[str, object] = asdict(MemoryUse())
"""Columns of a server whose memory nobody has measured yet."""


def size_words(size_bytes: int) -> str:
    """In GB of 1024 MB; less than one in tens of MB."""
    if size_bytes < GIB:
        return f"{round(size_bytes / MIB / 10) * 10} MB"
    return f"{_gib(size_bytes)} GB"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture, or the answer that it came in, says of it; `seed` None where that is not told.

    `info` is what the answer says beside its texts, by the names of the driver; empty where nothing is.
    """

    infotext: str = ""
    seed: int | None = None
    info: Mapping[str, str] = field(default_factory=dict)

    def completed_by(self, other: PictureFacts) -> PictureFacts:
        """What is not known here is taken from `other`."""
        return PictureFacts(
            self.infotext or other.infotext,
            other.seed if self.seed is None else self.seed,
            self.info or other.info,
        )


class Outcome(enum.StrEnum):
    """What a person's test of a connection met."""

    WORKS = "works"
    SLOW = "works, but slow"
    LOADING = "is loading"
    NOTHING = "nothing listens"
    NO_HOST = "no such host"
    NOT_REACHED = "not reached"
    API_OFF = "API is off"
    OTHER_PROGRAM = "no WebUI"
    PASSWORD_WANTED = "wants a password"  # noqa: S105
    PASSWORD_REFUSED = "refuses the password"  # noqa: S105
    REDIRECTS = "redirects"
    SILENT = "does not answer"
    FAILS = "answers with an error"


@dataclass(frozen=True, slots=True)
class ConnectionVerdict:
    """`title` in a few words, `advice` in a sentence or two, `facts` as name and value."""

    outcome: Outcome
    title: str
    advice: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def works(self) -> bool:
        return self.outcome in (Outcome.WORKS, Outcome.SLOW)

    @property
    def status(self) -> str:
        """Which colour it has."""
        return {Outcome.WORKS: "READY", Outcome.SLOW: "WARNING", Outcome.LOADING: "STARTING"}.get(
            self.outcome, "FAILED"
        )
