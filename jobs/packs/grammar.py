"""The text of a pack: the one parser that preview, validation and build share.

Blocks are parted by blank lines; `#` lines are comments. A line is negative text (`neg:`, and every line
after one that follows positive text), only tags, or positive text. A block of only negative lines belongs to the
row above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobs.errors import RecordProblem
from jobs.packs.findings import MAX_PROBLEMS, MAX_WARNINGS, Bounded, PackWarning, told
from jobs.packs.formats import NEG_RE, lint_formats
from jobs.packs.lint import lint_block, lint_rows
from jobs.packs.rows import PackRow as PackRow
from jobs.packs.tags import (
    EmbeddingTag,
    TagLine,
    WrittenLora,
    has_lora,
    odd_loras,
    read_tag_line,
    take_embeddings,
)

MAX_ROWS: Final = 10_000
"""Rows that are read of one pack; a text goes on for as long as its author likes."""

_NEWLINE: Final = re.compile(r"\r\n|\r|\n")
_SPACE: Final = "".join(c for c in map(chr, range(0x3001)) if c.isspace()) + "\ufeff"

MAX_LINE_CHARS: Final = 20_000
"""A longer line is refused and read no further: no prompt is that long, and a binary file may be."""

Line = tuple[int, str]
"""Number (from 1) and words of a line, trimmed."""


@dataclass(frozen=True, slots=True)
class ParsedText:
    """What a text says. `more_rows`: it has more than `MAX_ROWS` rows, and those after them were not read."""

    rows: tuple[PackRow, ...]
    warnings: tuple[PackWarning, ...]
    problems: tuple[RecordProblem, ...]
    more_rows: bool = False


@dataclass(slots=True)
class Draft:
    """A row while its lines are being read."""

    first_line: int
    last_line: int
    positive_lines: list[str] = field(default_factory=list)
    negative_lines: list[str] = field(default_factory=list)
    positive_embeddings: list[EmbeddingTag] = field(default_factory=list)
    negative_embeddings: list[EmbeddingTag] = field(default_factory=list)
    loras: list[WrittenLora] = field(default_factory=list)

    @property
    def is_row(self) -> bool:
        return bool(self.positive_lines or self.positive_embeddings or self.loras)

    @property
    def has_negative(self) -> bool:
        return bool(self.negative_lines or self.negative_embeddings)

    def add_negative(self, other: Draft) -> None:
        """The negative words of a draft that is no row of its own."""
        self.negative_lines += other.negative_lines
        self.negative_embeddings += other.negative_embeddings

    def finish(self, index: int) -> PackRow:
        return PackRow(
            index,
            self.first_line,
            self.last_line,
            tuple(self.positive_lines),
            tuple(self.negative_lines),
            tuple(self.positive_embeddings),
            tuple(self.negative_embeddings),
            tuple(self.loras),
        )


def parse_text(text: str, pack: str = "") -> ParsedText:
    """Read any text; nothing raises. `pack` only names the pack in problems."""
    warnings: Bounded[PackWarning] = Bounded(MAX_WARNINGS)
    problems: Bounded[RecordProblem] = Bounded(MAX_PROBLEMS)
    if text.startswith("\ufeff"):
        words = "the file begins with a byte order mark; it is left out."
        warnings.append(PackWarning(code="byte_order_mark", message=words, line=1))
    drafts: list[Draft] = []
    blocks: list[list[Line]] = []
    for block in _blocks(text.lstrip("\ufeff"), pack, problems):
        draft = read_block(block, warnings, drafts[-1] if drafts else None)
        if draft.is_row and len(drafts) == MAX_ROWS:
            warnings.keep([too_many_rows(draft.first_line)])
            return rows_of(drafts, blocks, warnings, problems, more_rows=True)
        blocks.append(block)
        if draft.is_row:
            drafts.append(draft)
        else:
            _attach(draft, drafts, warnings)
        warnings += lint_block(block)
    return rows_of(drafts, blocks, warnings, problems)


def too_many_rows(line: int | None) -> PackWarning:
    """The warning of a pack that goes on after its last row that is read."""
    words = f"it has more than {MAX_ROWS:,} rows; those after them are not read. Split it into several packs."
    return PackWarning(code="too_many_rows", message=words, line=line)


def rows_of(
    drafts: Sequence[Draft],
    blocks: Sequence[Sequence[Line]],
    warnings: Bounded[PackWarning],
    problems: Sequence[RecordProblem],
    *,
    more_rows: bool = False,
) -> ParsedText:
    """The rows of these drafts, with what only all of them together show."""
    rows = tuple(draft.finish(index) for index, draft in enumerate(drafts))
    warnings += lint_rows(rows)
    warnings += lint_formats(blocks)
    found = sorted(told(warnings), key=lambda warning: warning.line or 0)
    return ParsedText(rows, tuple(found), tuple(problems), more_rows)


def trim(text: str) -> str:
    """Without white space and byte order marks at its ends."""
    return text.strip(_SPACE)


def lines_of(text: str) -> Iterator[str]:
    """The lines that the parser counts, as they are written, one after the other."""
    start = 0
    for newline in _NEWLINE.finditer(text):
        yield text[start : newline.start()]
        start = newline.end()
    yield text[start:]


def blocks_of(text: str) -> Iterator[list[Line]]:
    """The blocks that the parser reads, one after the other, without comments."""
    return _blocks(text.lstrip("\ufeff"), "", [])


def readable_line(raw: str, where: str, pack: str, problems: list[RecordProblem]) -> str:
    """A line trimmed, and cut where it is too long; `where` ("line 3") names it in problems."""
    if "\0" in raw:
        words = f"Pack {pack}: {where} holds a NUL character; remove it and import the pack again."
        problems.append(RecordProblem(code="nul", message=words, pack=pack, field=where))
    if len(raw) > MAX_LINE_CHARS:
        words = (
            f"Pack {pack}: {where} has {len(raw):,} characters, more than the {MAX_LINE_CHARS:,} that a "
            "line may have; split it and import the pack again."
        )
        problems.append(RecordProblem(code="long_line", message=words, pack=pack, field=where))
        raw = raw[:MAX_LINE_CHARS]
    return trim(raw)


def _blocks(text: str, pack: str, problems: list[RecordProblem]) -> Iterator[list[Line]]:
    block: list[Line] = []
    for number, raw in enumerate(lines_of(text), 1):
        line = readable_line(raw, f"line {number}", pack, problems)
        if not line:
            if block:
                yield block
            block = []
        elif not line.startswith("#"):
            block.append((number, line))
    if block:
        yield block


def read_block(block: Sequence[Line], warnings: list[PackWarning], above: Draft | None = None) -> Draft:
    """What the lines of one block say; `above` is the row before it, whose negative it may hold.

    Lines after a `neg:` line go on with the negative, unless nothing was positive before: then they are what the
    block is about.
    """
    draft = Draft(block[0][0], block[-1][0])
    leads = _leads_with_negative(block, above)
    negative = False
    for number, line in block:
        prefix = NEG_RE.match(line)
        tags = None if prefix else read_tag_line(line)
        if prefix:
            negative = not leads or bool(draft.positive_lines)
            add_negative(draft, line[prefix.end() :], number, warnings)
        elif tags and negative and not tags.embeddings:
            _add_loras(draft, tags, number, warnings)
        elif negative:
            words = "this line follows a neg: line without neg: of its own; it is read as negative."
            warnings.append(PackWarning(code="continued_negative", message=words, line=number))
            if tags:
                draft.negative_embeddings += tags.embeddings
                _add_loras(draft, tags, number, warnings)
            else:
                add_negative(draft, line, number, warnings)
        elif tags:
            draft.positive_embeddings += tags.embeddings
            _add_loras(draft, tags, number, warnings)
        else:
            if leads and not draft.positive_lines:
                words = "its row begins with neg:, so this line is read as positive; put neg: lines last."
                warnings.append(PackWarning(code="leading_negative", message=words, line=number))
            draft.positive_lines.append(line)
            warnings += [_odd_weight(words, number) for words in odd_loras(line)]
    return draft


def _leads_with_negative(block: Sequence[Line], above: Draft | None) -> bool:
    """Whether a block is a row that begins with its negative, and not the negative of a row above that has none."""
    if not NEG_RE.match(block[0][1]) or (above is not None and not above.has_negative):
        return False
    return any(not NEG_RE.match(line) and not read_tag_line(line) for _, line in block)


def add_negative(draft: Draft, line: str, number: int, warnings: list[PackWarning]) -> None:
    """A line of negative words, its embeddings lifted out."""
    words, embeddings = take_embeddings(line)
    draft.negative_embeddings += embeddings
    words = words.strip(_SPACE + ",")
    if words:
        draft.negative_lines.append(words)
    if has_lora(words):
        message = "a LoRA has no effect in a negative prompt; it is sent as plain words."
        warnings.append(PackWarning(code="negative_lora", message=message, line=number))


def _add_loras(draft: Draft, tags: TagLine, number: int, warnings: list[PackWarning]) -> None:
    draft.loras += tags.loras
    warnings += [_odd_weight(words, number) for words in tags.odd]


def _odd_weight(words: str, number: int) -> PackWarning:
    return PackWarning(code="lora_weight", message=words, line=number)


def _attach(draft: Draft, drafts: list[Draft], warnings: list[PackWarning]) -> None:
    if drafts:
        row = drafts[-1]
        row.add_negative(draft)
        row.last_line = draft.last_line
        words = (
            f"a block of only negative lines belongs to row {len(drafts)} above it; remove the blank line."
        )
    else:
        words = "a block of only negative lines has no row above it; it is left out."
    warnings.append(PackWarning(code="detached_negative", message=words, line=draft.first_line))
