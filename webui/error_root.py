"""The root of the tree of `webui.errors`: what every error between us and a WebUI knows and says."""

import inspect
from functools import partial
from typing import Any, ClassVar

from webui.words import ServerNoun, ended, writable
from webui.worker_words import OF_WORKER, ErrorWords

WORDS_LIMIT = 600
"""Characters of the server's own words that a message repeats; the field `words` keeps `MOST_WORDS`."""
MOST_WORDS = 20_000


class WebUIError(Exception):
    """The WebUI could not do what it was asked."""

    code: ClassVar[str] = "WEBUI_ERROR"
    subsystem: ClassVar[str] = "webui"
    remediation: ClassVar[str] = "Look at the WebUI's log."
    FACTS: ClassVar[tuple[str, ...]] = (
        "words",
        "endpoint",
        "method",
        "stage",
        "status",
        "error_class",
        "elapsed_s",
        "address",
        "server",
    )

    def __init__(
        self,
        words: str = "",
        *,
        endpoint: str | None = None,
        method: str | None = None,
        stage: str | None = None,
        status: int | None = None,
        error_class: str | None = None,
        elapsed_s: float | None = None,
        address: str | None = None,
        server: ServerNoun | None = None,
    ) -> None:
        """`words` are the server's, or the network's; `error_class` is the exception's name on that side.

        `server` None is a WebUI.
        """
        words = writable(words[:MOST_WORDS])
        super().__init__(words)
        self.words = words
        self.endpoint, self.method, self.stage, self.status = endpoint, method, stage, status
        self.error_class = error_class and writable(error_class[:100])
        self.elapsed_s, self.address, self.server = elapsed_s, address, server

    @property
    def leaves_server_unusable(self) -> bool:
        """The server is gone, or must be restarted before it takes another job."""
        return False

    def facts(self) -> dict[str, Any]:
        """The fields that are known, by name, ready for an event or an envelope."""
        return {name: value for name in self.FACTS if (value := getattr(self, name)) is not None}

    @classmethod
    def sentence(cls) -> str:
        """What happened, for every error of this class between us and a WebUI."""
        return (inspect.getdoc(cls) or cls.code).splitlines()[0]

    @classmethod
    def told_of(cls, server: ServerNoun | None) -> ErrorWords:
        """What every error of this class says where the server is called so."""
        if server is not ServerNoun.WORKER:
            return ErrorWords(cls.sentence(), cls.remediation)
        # What only a WebUI brings about is told as what it is a kind of.
        codes = (getattr(kind, "code", "") for kind in cls.__mro__)
        return next(OF_WORKER[code] for code in codes if code in OF_WORKER)

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.told_of(self.server).remedy

    @property
    def message(self) -> str:
        """What happened this time, without what to do about it."""
        sentence = self.told_of(self.server).what.rstrip(".")
        place = self._place()
        if place:
            sentence += f" ({place})"
        words = self.words.strip()
        if len(words) > WORDS_LIMIT:
            words = words[:WORDS_LIMIT] + "..."
        if words:
            sentence += f": {words}"
        return ended(sentence)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"

    def _place(self) -> str:
        parts = []
        if self.stage:
            parts.append(f"stage {self.stage}")
        if self.endpoint:
            parts.append(
                " ".join(part for part in (self.method, f"{self.address or ''}{self.endpoint}") if part)
            )
        if self.status is not None:
            parts.append(f"HTTP {self.status}")
        if self.error_class:
            parts.append(self.error_class)
        if self.elapsed_s is not None:
            parts.append(f"after {self.elapsed_s:.1f} s")
        return ", ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.facts()), ()
