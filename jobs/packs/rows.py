"""A row of a pack, whatever it was read from: its words as they are written, and the pictures that it begins with."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.packs.tags import EmbeddingTag, WrittenLora


@dataclass(frozen=True, slots=True)
class RowImage:
    """A picture that a row of a film or edit pack begins with: its bytes by their SHA-256, and its name for people.

    Pixels as it is shown; 0 where nobody said.
    """

    sha256: str
    name: str
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True, slots=True)
class PackRow:
    """One row of a pack. Lines count from 1 in the text; 0 for a row that JSON alone gives."""

    index: int
    first_line: int
    last_line: int
    positive_lines: tuple[str, ...]
    negative_lines: tuple[str, ...]
    positive_embeddings: tuple[EmbeddingTag, ...] = ()
    negative_embeddings: tuple[EmbeddingTag, ...] = ()
    loras: tuple[WrittenLora, ...] = ()
    images: tuple[RowImage, ...] = ()

    @property
    def positive_text(self) -> str:
        return " ".join(self.positive_lines)

    @property
    def negative_text(self) -> str:
        return ", ".join(self.negative_lines)

    @property
    def content(self) -> tuple[object, ...]:
        """What the row says, wherever it stands: equal for equal rows."""
        return (
            self.positive_lines,
            self.negative_lines,
            self.positive_embeddings,
            self.negative_embeddings,
            self.loras,
            self.images,
        )
