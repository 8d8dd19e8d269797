"""What jobs are looked for: one frozen value for lists, bulk acts and addresses of pages. Finding is not its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from jobs.lifecycle import JobStatus, TruthVerdict
from webui.kinds import WorkKind, result_noun

#: Longest value of each field, in characters; a longer one cannot match anything.
LONGEST = {
    "kind": 8,
    "pack": 200,
    "checkpoint": 300,
    "text": 200,
    "user": 150,
    "status": 10,
    "cause": 50,
    "truth": 10,
}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Jobs that match everything that is set; nothing set matches all.

    `kind`, `pack`, `user`, `status`, `cause` (the error code) and `truth` (the verdict on its pictures) must be equal.
    `checkpoint` is contained, `text` stands in the positive or the negative prompt, both ignoring case (SQLite: of the
    letters A to Z). `attention`: it failed, and nobody has run it again or dismissed it since.
    """

    kind: str = ""
    pack: str = ""
    checkpoint: str = ""
    text: str = ""
    user: str = ""
    status: str = ""
    cause: str = ""
    truth: str = ""
    attention: bool = False

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> JobFilter:
        """From the parameters of an address or a form; unknown and overlong values are dropped."""
        texts = {name: query.get(name, "").strip() for name in LONGEST}
        kept = {
            name: text for name, text in texts.items() if len(text) <= LONGEST[name] and "\x00" not in text
        }
        for name, known in (("kind", WorkKind), ("status", JobStatus), ("truth", TruthVerdict)):
            if kept.get(name) not in known.values:
                kept.pop(name, None)
        return cls(**kept, attention=query.get("attention") == "1")

    @classmethod
    def stored(cls, values: Mapping[str, str]) -> JobFilter:
        """The very filter whose `query` this is. Nothing is dropped: an act must never widen."""
        return cls(**{**values, "attention": "attention" in values})  # type: ignore[arg-type]

    def query(self) -> dict[str, str]:
        """What is set, for addresses and hidden fields; `from_query` reads it back."""
        texts = {field.name: getattr(self, field.name) for field in fields(self) if field.name in LONGEST}
        return {name: text for name, text in texts.items() if text} | (
            {"attention": "1"} if self.attention else {}
        )

    def __bool__(self) -> bool:
        return bool(self.query())

    def words(self) -> str:
        """The filter behind the noun: 'of pack castles, with “fog” in the prompt'; empty when nothing is set."""
        told = (
            ("kind", "that make {}"),
            ("pack", "of pack {}"),
            ("checkpoint", "with “{}” in the checkpoint's name"),
            ("text", "with “{}” in the prompt"),
            ("user", "queued by {}"),
            ("status", "that are {}"),
            ("cause", "that failed with {}"),
            ("truth", "whose results are {}"),
        )
        values = {name: getattr(self, name) for name, _ in told}
        made = f"{result_noun(self.kind)}s" if self.kind in WorkKind.values else ""
        values |= {"kind": made, "status": self.status.lower()}
        parts = [words.format(values[name]) for name, words in told if values[name]]
        if self.attention:
            parts.append("that need attention")
        return ", ".join(parts)
