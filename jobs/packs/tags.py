"""The tags of prompts: `<embedding:name>`, `(<embedding:name>:0.9)` and `<lora:name:weight>`.

A WebUI knows LoRA tags. It does not know embedding tags: it drops `<embedding:name>` from a positive
prompt as an unknown network. So an embedding is sent as its bare name, weighted like any other word:
`(name:0.9)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

_NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_EMBEDDING: Final = r"<\s*embedding\s*:\s*(?P<{0}>[^<>:\s][^<>:\r\n]*)>"
_EMBEDDING_RE: Final = re.compile(
    rf"\(\s*{_EMBEDDING.format('weighted')}\s*:\s*(?P<weight>{_NUMBER})\s*\)|{_EMBEDDING.format('plain')}",
    re.IGNORECASE,
)
_LORA_RE: Final = re.compile(
    r"<\s*lora\s*:\s*(?P<lora>[^<>:\s][^<>:\r\n]*)(?::(?P<strength>[^<>\r\n]*))?>", re.IGNORECASE
)
_BARE_RE: Final = re.compile(r"<([A-Za-z0-9][A-Za-z0-9_.-]+)>", re.ASCII)
_TAG_RE: Final = re.compile(rf"{_EMBEDDING_RE.pattern}|{_LORA_RE.pattern}", re.IGNORECASE)
_STRENGTH_RE: Final = re.compile(rf"\s*(?:\w+=)?({_NUMBER})\s*(?::\s*(?:\w+=)?{_NUMBER}\s*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class EmbeddingTag:
    """An embedding by name; `weight` as its author wrote it, "" where it is 1."""

    name: str
    weight: str = ""

    def __str__(self) -> str:
        """As packs write it."""
        return f"(<embedding:{self.name}>:{self.weight})" if self.weight else f"<embedding:{self.name}>"

    @property
    def words(self) -> str:
        """As prompts hold it."""
        return f"({self.name}:{self.weight})" if self.weight else self.name


@dataclass(frozen=True, slots=True)
class WrittenLora:
    """A LoRA by name; `strength` as its author wrote it, which may hold several numbers (`0.8:0.5`)."""

    name: str
    strength: str

    def __str__(self) -> str:
        return f"<lora:{self.name}:{self.strength}>"

    @property
    def weight(self) -> float:
        """The first of its numbers."""
        match = _STRENGTH_RE.fullmatch(self.strength)
        return float(match[1]) if match else 1.0


@dataclass(frozen=True, slots=True)
class TagLine:
    """A line of nothing but tags. `unweighted` LoRAs have no weight that is a number: they get 1.0."""

    embeddings: tuple[EmbeddingTag, ...]
    loras: tuple[WrittenLora, ...]
    unweighted: tuple[str, ...]


def read_tag_line(line: str) -> TagLine | None:
    """The tags of a line that holds only tags, parted by spaces or commas; None for any other line."""
    if "<" not in line or _TAG_RE.sub(" ", line).strip(" \t,"):
        return None
    embeddings: list[EmbeddingTag] = []
    loras: list[WrittenLora] = []
    unweighted: list[str] = []
    for match in _TAG_RE.finditer(line):
        if match["lora"] is None:
            embeddings.append(_embedding(match))
            continue
        name = match["lora"].strip()
        strength = _strength(match["strength"])
        if not strength:
            unweighted.append(name)
        loras.append(WrittenLora(name, strength or "1.0"))
    return TagLine(tuple(embeddings), tuple(loras), tuple(unweighted)) if embeddings or loras else None


def take_embeddings(text: str) -> tuple[str, tuple[EmbeddingTag, ...]]:
    """Lift the embedding tags out of a comma list; one inside brackets stays, its bracket gives it weight."""
    found: list[EmbeddingTag] = []
    while taken := _take_once(text):
        text, tags = taken
        found += tags
    return text, tuple(found)


def _take_once(text: str) -> tuple[str, list[EmbeddingTag]] | None:
    kept: list[str] = []
    tags: list[EmbeddingTag] = []
    depth = end = 0
    for match in _EMBEDDING_RE.finditer(text):
        between = text[end : match.start()]
        depth += len(re.findall(r"(?<!\\)[(\[]", between)) - len(re.findall(r"(?<!\\)[)\]]", between))
        kept.append(between)
        end = match.end()
        if depth > 0:
            kept.append(match[0])
        else:
            kept.append(" ")
            tags.append(_embedding(match))
    if not tags:
        return None
    rest = re.sub(r",(?:\s*,)+", ",", "".join([*kept, text[end:]]))
    return re.sub(r"[ \t]{2,}", " ", rest).strip(), tags


def to_prompt_words(text: str) -> str:
    """Inline embedding tags as a WebUI reads them, the old bare `<name>` too; LoRA tags stay."""
    if "<" not in text:
        return text
    return _BARE_RE.sub(r"\1", _EMBEDDING_RE.sub(lambda match: _embedding(match).words, text))


def tag_spans(text: str) -> Iterator[tuple[int, int, Literal["lora", "embedding"]]]:
    """Where the tags of a text stand (start, end) and what they are, in order."""
    for match in _TAG_RE.finditer(text) if "<" in text else ():
        yield match.start(), match.end(), "embedding" if match["lora"] is None else "lora"


def has_lora(text: str) -> bool:
    return "<" in text and _LORA_RE.search(text) is not None


def bare_loras(text: str) -> tuple[str, ...]:
    """Names of inline LoRA tags without a weight, or with one that is no number."""
    if "<" not in text:
        return ()
    return tuple(m["lora"].strip() for m in _LORA_RE.finditer(text) if not _strength(m["strength"]))


def _embedding(match: re.Match[str]) -> EmbeddingTag:
    if match["plain"] is not None:
        return EmbeddingTag(match["plain"].strip())
    weight = match["weight"]
    return EmbeddingTag(match["weighted"].strip(), "" if float(weight) == 1 else weight)


def _strength(written: str | None) -> str:
    match = _STRENGTH_RE.fullmatch(written or "")
    return match[0].strip() if match and math.isfinite(float(match[1])) else ""
