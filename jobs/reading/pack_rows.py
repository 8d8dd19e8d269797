"""The rows of a pack as its parser sees them: the written lines beside what was read out of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Literal

from django.conf import settings

from jobs.building.builder import BuildOptions, PackSource
from jobs.building.plan import Plan, RowPlan, author_warnings, plan_build
from jobs.errors import RecordProblem
from jobs.packs.findings import PackWarning
from jobs.packs.grammar import PackRow, lines_of, trim
from jobs.packs.matrix import TOKEN_RE
from jobs.packs.pack import Pack, parse_pack
from jobs.packs.randomization import WILDCARD_RE
from jobs.packs.rows import RowImage
from jobs.packs.tags import tag_spans
from jobs.reading.record_facts import Pairs, settings_of_stage
from webui.kinds import WorkKind

#: Rows on one page.
ROWS_SHOWN = 40
#: Lines and characters of one row that a page shows; the rest is only counted.
MAX_LINES = 80
MAX_CHARS = 6_000
#: LoRAs and embeddings of one row that a page shows.
MAX_TAGS = 100
#: A pack from this length on is large: parsed, it takes many times its size.
LARGE_CHARS = 1_000_000

Mark = Literal["", "token", "missing", "wildcard", "lora", "embedding"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words of a prompt; `mark` says what they are to the builder, "" for plain words."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A line as it stands in the text, with what the parser says about it."""

    number: int
    text: str
    is_comment: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowLine:
    """A row; `number` counts from 1, `lines` says where it stands in the text.

    `lines` and `written` are empty for a row that JSON alone gives, and for one of a film or edit pack, which has
    `images` and the `settings` that it is made with. `more_tags` are LoRAs and embeddings beyond those
    listed. `warnings` are those without a line, `noticed` counts all; `variants` is how many variants the row makes.
    """

    number: int
    lines: str
    opening: str
    written: tuple[WrittenLine, ...]
    more_lines: int
    positive: tuple[Piece, ...]
    negative: tuple[Piece, ...]
    embeddings: tuple[str, ...]
    negative_embeddings: tuple[str, ...]
    loras: tuple[tuple[str, str], ...]
    more_tags: int
    warnings: tuple[str, ...]
    noticed: int
    variants: int
    images: tuple[RowImage, ...] = ()
    settings: Pairs = ()


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows of a pack; `before` and `after` are the first rows of the pages beside it, 0 for none."""

    rows: tuple[RowLine, ...]
    total: int
    before: int
    after: int
    trailing: tuple[WrittenLine, ...]
    of_pictures: bool = True
    """Rows of films and edits are no text that somebody wrote."""

    @property
    def all_shown(self) -> bool:
        return len(self.rows) == self.total


@dataclass(frozen=True, slots=True)
class ReadPack:
    """A pack and its plan without anybody's options; `warnings` are for its author, `problems` the plan's."""

    pack: Pack
    plan: Plan
    warnings: tuple[PackWarning, ...]
    problems: tuple[RecordProblem, ...]


def read(source: PackSource) -> ReadPack:
    """Read and plan a pack. Content never changes, so what was read last is kept: of large packs only one."""
    large = len(source.text) + len(source.document) > LARGE_CHARS
    return read_large(source) if large else read_small(source)


def _read(source: PackSource) -> ReadPack:
    options = BuildOptions(
        build_seed=0,
        global_positive=settings.STABLENEW_GLOBAL_POSITIVE,
        global_negative=settings.STABLENEW_GLOBAL_NEGATIVE,
    )
    pack = parse_pack(source)
    plan = plan_build(pack, options)
    # How many records are too many is for a submission to say.
    return ReadPack(pack, plan, author_warnings(pack), plan.reasons)


read_small = lru_cache(maxsize=16)(_read)
read_large = lru_cache(maxsize=1)(_read)


def row_page(source: PackSource, first: int = 1) -> RowPage:
    """The page on which row `first` (from 1) stands."""
    found = read(source)
    rows = found.pack.rows
    start = max(0, min(first, len(rows)) - 1) // ROWS_SHOWN * ROWS_SHOWN
    end = min(start + ROWS_SHOWN, len(rows))
    begin = rows[start - 1].last_line if start else 0
    lines = islice(enumerate(lines_of(source.text.lstrip("\ufeff")), 1), begin, None)
    noticed = _by_line(found.warnings)
    plans = {plan.row.index: plan for plan in found.plan.rows}
    shown = []
    of_pictures = found.pack.kind == WorkKind.IMAGE
    for row in rows[start:end]:
        of_row = _up_to(lines, row.last_line) if row.last_line else iter(())
        line = _row_line(row, _written(of_row, noticed), found.warnings, plans.get(row.index))
        shown.append(line if of_pictures else _of_inputs(line, row, found.pack.kind, plans.get(row.index)))
    at_end = end == len(rows) and not found.pack.text.more_rows
    trailing = _written(lines, noticed).lines if at_end else ()
    return RowPage(
        rows=tuple(shown),
        total=len(rows),
        before=start - ROWS_SHOWN + 1 if start else 0,
        after=end + 1 if end < len(rows) else 0,
        trailing=trailing if of_pictures else (),
        of_pictures=of_pictures,
    )


def row_at(rows: Sequence[PackRow], warning: PackWarning) -> int:
    """The row (from 1) that a warning is about, or else the one whose lines come next; 0 for none."""
    if warning.row is not None:
        return warning.row
    if warning.line is None:
        return 0
    line = warning.line
    return next((row.index + 1 for row in rows if line <= row.last_line), len(rows))


def pieces(text: str, missing: Collection[str] = (), wildcards: Collection[str] = ()) -> tuple[Piece, ...]:
    """A prompt with its tags, tokens and wildcards marked.

    `missing` are tokens without values, as they are written; a wildcard that is not among `wildcards` is plain.
    """
    cut = text[:MAX_CHARS]
    tokens: Iterator[tuple[int, int, Mark]] = (
        (match.start(), match.end(), "missing" if match[1] in missing else "token")
        for match in TOKEN_RE.finditer(cut)
    )
    wild = (match.span() for match in WILDCARD_RE.finditer(cut) if match[0] in wildcards)
    spans: list[tuple[int, int, Mark]] = [*tag_spans(cut), *tokens, *((*span, "wildcard") for span in wild)]
    found, end = [], 0
    for start, stop, mark in sorted(spans):
        if start < end:  # a token inside a tag belongs to the tag
            continue
        found += [Piece(cut[end:start])] if start > end else []
        found.append(Piece(cut[start:stop], mark))
        end = stop
    if end < len(cut) or len(text) > MAX_CHARS:
        found.append(Piece(cut[end:] + (" …" if len(text) > MAX_CHARS else "")))
    return tuple(found)


def _by_line(warnings: Iterable[PackWarning]) -> Mapping[int, list[str]]:
    found: dict[int, list[str]] = {}
    for warning in warnings:
        if warning.line is not None:
            found.setdefault(warning.line, []).append(warning.message)
    return found


@dataclass(frozen=True, slots=True)
class _Written:
    """Lines as they stand, without blank ones at their ends: the first `MAX_LINES`; `total` and `noticed` count all."""

    lines: tuple[WrittenLine, ...] = ()
    total: int = 0
    noticed: int = 0


def _written(lines: Iterable[tuple[int, str]], noticed: Mapping[int, list[str]]) -> _Written:
    """`lines` come with their numbers, and may be as many as a text has."""
    found: list[WrittenLine] = []
    seen = total = warnings = 0
    for number, text in lines:
        told, blank = noticed.get(number, ()), not text.strip()
        if blank and not told and not seen:
            continue
        seen += 1
        total = total if blank else seen
        warnings += len(told)
        if len(found) < MAX_LINES:
            comment = trim(text[:MAX_CHARS]).startswith("#")
            found.append(WrittenLine(number, _cut(text), is_comment=comment, warnings=tuple(told)))
    return _Written(tuple(found[:total]), total, warnings)


def _up_to(lines: Iterator[tuple[int, str]], last: int) -> Iterator[tuple[int, str]]:
    """The next lines, up to and with number `last`."""
    for line in lines:
        yield line
        if line[0] >= last:
            return


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]} …"


def _row_line(
    row: PackRow, written: _Written, warnings: Iterable[PackWarning], plan: RowPlan | None
) -> RowLine:
    first, last = row.first_line, row.last_line
    lines = f"lines {first}–{last}" if last > first else f"line {first}"
    known = {slot.name for slot in plan.variants.wildcards} if plan else set()
    missing = _missing(row, plan)
    loose = tuple(w.message for w in warnings if w.line is None and w.row == row.index + 1)
    return RowLine(
        number=row.index + 1,
        lines=lines if row.first_line else "",
        opening=row.positive_text[:160] or " ".join(map(str, row.positive_embeddings))[:160] or "(only tags)",
        written=written.lines,
        more_lines=max(0, written.total - MAX_LINES),
        positive=pieces(row.positive_text, missing, known),
        negative=pieces(row.negative_text, missing, known),
        embeddings=tuple(_cut(tag.words) for tag in row.positive_embeddings[:MAX_TAGS]),
        negative_embeddings=tuple(_cut(tag.words) for tag in row.negative_embeddings[:MAX_TAGS]),
        loras=tuple((_cut(tag.name), tag.strength) for tag in row.loras[:MAX_TAGS]),
        more_tags=sum(
            max(0, len(tags) - MAX_TAGS)
            for tags in (row.loras, row.positive_embeddings, row.negative_embeddings)
        ),
        warnings=loose,
        noticed=len(loose) + written.noticed,
        variants=plan.variants.count if plan else 1,
    )


def _of_inputs(line: RowLine, row: PackRow, kind: str, plan: RowPlan | None) -> RowLine:
    """The row of a film or edit pack: its text is JSON that a program wrote, so what it means is shown instead."""
    told = tuple(words for written in line.written for words in written.warnings)
    return replace(
        line,
        lines="",
        written=(),
        more_lines=0,
        warnings=line.warnings + told,
        images=row.images,
        settings=_settings(kind, plan),
    )


def _settings(kind: str, plan: RowPlan | None) -> Pairs:
    """As they take effect, snapped and sized; the values of a sweep beside each other."""
    found: dict[str, dict[str, None]] = {}
    for config in plan.configs if plan else ():
        for name, value in settings_of_stage(kind, config.chain[0].model_dump()["parameters"]):
            found.setdefault(name, {})[value] = None
    return tuple((name, " or ".join(values)) for name, values in found.items())


def _missing(row: PackRow, plan: RowPlan | None) -> set[str]:
    found = set(TOKEN_RE.findall(f"{row.positive_text}\n{row.negative_text}"))
    return found - set(plan.slot_of_token) if plan else found
