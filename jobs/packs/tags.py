"""The tags of prompts: `<embedding:name>`, `(<embedding:name>:0.9)` and `<lora:name:weight>`.

A WebUI knows LoRA tags. It does not know embedding tags: it drops `<embedding:name>` from a positive
prompt as an unknown network. So an embedding is sent as its bare name, weighted like any other word:
`(name:0.9)`; a weight inside the tag (`<embedding:name:0.9>`) is read as that. What a LoRA tag says beyond
numbers belongs to an extension: such a tag is sent as it is written.

Prompts come from anywhere, so every look at a text is linear: a tag is at most `MAX_TAG_CHARS` long, and no
expression here can try the same characters twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

MAX_TAG_CHARS: Final = 500
"""Longer angle brackets are words."""

_ANGLE_RE: Final = re.compile(rf"<([^<>\r\n]{{1,{MAX_TAG_CHARS}}}+)>")
_NUMBER: Final = r"[+-]?(?:[0-9]{1,20}+(?:\.[0-9]{0,20}+)?|\.[0-9]{1,20}+)"
_WEIGHT_RE: Final = re.compile(rf"\s*+:\s*+({_NUMBER})\s*+\)")
_OWN_WEIGHT_RE: Final = re.compile(rf"\s*+({_NUMBER})\s*+")
_NUMBER_RE: Final = re.compile(rf"\s*+(?:\w{{1,40}}=)?({_NUMBER})\s*+", re.ASCII)
_NAME_LIKE_RE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+", re.ASCII)
_OPENING_RE: Final = re.compile(r"(?<!\\)[(\[]")
_CLOSING_RE: Final = re.compile(r"(?<!\\)[)\]]")


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
    """A LoRA by name; `strength` as its author wrote it, which may hold several numbers (`0.8:0.5`).

    `written` is the whole tag where `strength` holds more than numbers, else "".
    """

    name: str
    strength: str
    written: str = ""

    def __str__(self) -> str:
        return self.written or f"<lora:{self.name}:{self.strength}>"


@dataclass(frozen=True, slots=True)
class TagLine:
    """A line of nothing but tags. `odd` says what is odd about LoRAs, a sentence for each."""

    embeddings: tuple[EmbeddingTag, ...]
    loras: tuple[WrittenLora, ...]
    odd: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag and where it stands; brackets that only weigh an embedding belong to it."""

    start: int
    end: int
    tag: EmbeddingTag | WrittenLora


def lora_weight(strength: str) -> float:
    """The number that a LoRA's strength begins with; 1 where it begins with none."""
    match = _NUMBER_RE.fullmatch(strength.partition(":")[0])
    return float(match[1]) if match else 1.0


def read_tag_line(line: str) -> TagLine | None:
    """The tags of a line that holds only tags, parted by spaces or commas; None for any other line."""
    found = list(_tags(line))
    end = 0
    for one in found:
        if line[end : one.start].strip(" \t,"):
            return None
        end = one.end
    if not found or line[end:].strip(" \t,"):
        return None
    tags = [one.tag for one in found]
    loras = tuple(tag for tag in tags if isinstance(tag, WrittenLora))
    odd = tuple(
        words
        for one in found
        if isinstance(one.tag, WrittenLora)
        and (words := _odd(one.tag, "1.0 is taken") or _respelt(line[one.start : one.end], one.tag))
    )
    numbered = (WrittenLora(tag.name, tag.strength or "1.0", tag.written) for tag in loras)
    return TagLine(tuple(tag for tag in tags if isinstance(tag, EmbeddingTag)), tuple(numbered), odd)


def take_embeddings(text: str) -> tuple[str, tuple[EmbeddingTag, ...]]:
    """Lift the embedding tags out of a comma list.

    One inside brackets stays, its bracket gives it weight; so does one behind an open `<`, where lifting it out
    could make another tag of what stands around it.
    """
    pieces: list[str] = []
    taken: list[EmbeddingTag] = []
    depth = end = after = 0
    for one in _tags(text):
        if isinstance(one.tag, WrittenLora):
            continue
        between = text[end : one.start]
        depth += len(_OPENING_RE.findall(between)) - len(_CLOSING_RE.findall(between))
        end = one.end
        if depth <= 0 and between.rfind("<") <= between.rfind(">"):
            pieces.append(text[after : one.start])
            taken.append(one.tag)
            after = end
    return (_rejoined([*pieces, text[after:]]), tuple(taken)) if taken else (text, ())


def _rejoined(pieces: list[str]) -> str:
    """What is left of a comma list: a comma that has nothing before it any more goes, all else stays."""
    kept: list[str] = []
    for index, piece in enumerate(pieces):
        words = piece.strip(" \t") if index else piece.rstrip(" \t")
        if index and words.startswith(",") and (not kept or kept[-1].endswith(",")):
            words = words[1:].lstrip(" \t")
        if words:
            kept.append(words if not kept or words.startswith(",") else f" {words}")
    return "".join(kept).strip()


def to_prompt_words(text: str) -> str:
    """Inline embedding tags as a WebUI reads them, the old bare `<some_name>` too; LoRA tags stay."""
    if "<" not in text:
        return text
    return _ANGLE_RE.sub(lambda match: match[1] if _is_old_form(match[1]) else match[0], _with_words(text))


def bare_names(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names in angle brackets alone: those that are read as embeddings, and those that stay as they stand."""
    if "<" not in text:
        return (), ()
    names = dict.fromkeys(m[1] for m in _ANGLE_RE.finditer(text) if _NAME_LIKE_RE.fullmatch(m[1]))
    old = tuple(name for name in names if _is_old_form(name))
    return old, tuple(name for name in names if name not in old)


def odd_embeddings(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Embedding tags as written: those that are weighed inside, and those that nobody can read."""
    found: dict[str, bool] = {}
    for match in _ANGLE_RE.finditer(text) if "<" in text else ():
        kind, colon, rest = match[1].partition(":")
        if colon and kind.strip().lower() == "embedding" and (":" in rest or not rest.strip()):
            found[match[0]] = _embedding(rest) is not None
    weighed = tuple(written for written, is_read in found.items() if is_read)
    return weighed, tuple(written for written, is_read in found.items() if not is_read)


def tag_spans(text: str) -> Iterator[tuple[int, int, Literal["lora", "embedding"]]]:
    """Where the tags of a text stand (start, end) and what they are, in order."""
    for one in _tags(text):
        yield one.start, one.end, "lora" if isinstance(one.tag, WrittenLora) else "embedding"


def has_lora(text: str) -> bool:
    return any(isinstance(one.tag, WrittenLora) for one in _tags(text))


def odd_loras(text: str) -> tuple[str, ...]:
    """What is odd about inline LoRA tags, which are sent as they are written: a sentence each."""
    found = (
        _unknown(text[one.start : one.end]) or _odd(one.tag, "the WebUI takes 1")
        for one in _tags(text)
        if isinstance(one.tag, WrittenLora)
    )
    return tuple(words for words in found if words)


def _tags(text: str) -> Iterator[_Tag]:
    end = 0
    for match in _ANGLE_RE.finditer(text) if "<" in text else ():
        kind, _, rest = match[1].partition(":")
        name = rest.strip()
        start, stop = match.span()
        if kind.strip().lower() == "lora" and not rest.lstrip().startswith(":") and name:
            yield _Tag(start, stop, _lora(match[0], rest))
        elif kind.strip().lower() == "embedding" and (embedding := _embedding(rest)):
            before = text[end:start].rstrip()
            # Brackets around a tag that has its own weight weigh it once more: they stay.
            weighted = _WEIGHT_RE.match(text, stop) if before.endswith("(") and ":" not in rest else None
            if weighted:
                start, stop = end + len(before) - 1, weighted.end()
                embedding = weighed(embedding.name, weighted[1])
            yield _Tag(start, stop, embedding)
        else:
            continue
        end = stop


def weighed(name: str, weight: str) -> EmbeddingTag:
    """An embedding with a number as its weight, which is none where it is 1."""
    return EmbeddingTag(name, weight if float(weight) != 1 else "")


def _embedding(rest: str) -> EmbeddingTag | None:
    """The embedding of a tag that says `rest` behind its first colon."""
    name, colon, weight = rest.partition(":")
    number = _OWN_WEIGHT_RE.fullmatch(weight)
    if not name.strip() or (colon and number is None):
        return None
    return weighed(name.strip(), number[1]) if number else EmbeddingTag(name.strip())


def _lora(written: str, rest: str) -> WrittenLora:
    name, _, strength = rest.partition(":")
    parts = strength.split(":") if strength.strip() else []
    known = all(_NUMBER_RE.fullmatch(part) for part in parts)
    return WrittenLora(name.strip(), strength.strip(), "" if known else written)


def _odd(lora: WrittenLora, taken: str) -> str:
    if not lora.strength:
        return f"LoRA {lora.name!r} has no weight; {taken}."
    first = lora.strength.partition(":")[0]
    if _NUMBER_RE.fullmatch(first) or "[[" in first:
        return ""
    return (
        f"LoRA {lora.name!r} has the weight {first!r}, which is no number; the tag is sent as it is written."
    )


def _respelt(written: str, lora: WrittenLora) -> str:
    """What a tag is sent as, where that is not what stands there."""
    return f"{written} is sent as {lora}." if str(lora) != written else ""


def _unknown(written: str) -> str:
    if written.startswith("<lora:"):
        return ""
    return f"{written} is sent as it is written, and a WebUI knows only <lora:…>; write it so."


def _is_old_form(name: str) -> bool:
    """Whether a name in angle brackets can only be a file's: `<soft_light>` is one, `<script>` may be a word."""
    return _NAME_LIKE_RE.fullmatch(name) is not None and not name.isalnum()


def _with_words(text: str) -> str:
    """The text with its embedding tags as words."""
    kept: list[str] = []
    end = 0
    for one in _tags(text):
        if isinstance(one.tag, EmbeddingTag):
            kept += [text[end : one.start], one.tag.words]
            end = one.end
    return "".join([*kept, text[end:]])
