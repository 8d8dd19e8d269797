"""The root of the tree of `webui.errors`: what every error between us and a WebUI knows and says."""

import inspect
from functools import partial
from typing import Any, ClassVar

from webui.words import ended, writable

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
    ) -> None:
        """`words` are the server's, or the network's; `error_class` is the exception's name on that side."""
        words = writable(words[:MOST_WORDS])
        super().__init__(words)
        self.words = words
        self.endpoint, self.method, self.stage, self.status = endpoint, method, stage, status
        self.error_class = error_class and writable(error_class[:100])
        self.elapsed_s, self.address = elapsed_s, address

    def facts(self) -> dict[str, Any]:
        """The fields that are known, by name, ready for an event or an envelope."""
        return {name: value for name in self.FACTS if (value := getattr(self, name)) is not None}

    @classmethod
    def sentence(cls) -> str:
        """What happened, for every error of this class."""
        return (inspect.getdoc(cls) or cls.code).splitlines()[0]

    @property
    def message(self) -> str:
        """What happened this time, without what to do about it."""
        sentence = self.sentence().rstrip(".")
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
        return f"{self.message} {self.remediation}"

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
