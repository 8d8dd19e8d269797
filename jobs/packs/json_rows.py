"""Rows that only the JSON of a pack has (`pack_data.slots`): each slot is read for itself.

The names of embeddings and LoRAs in a slot are in `json_tags`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from jobs.errors import RecordProblem
from jobs.packs.findings import MAX_PROBLEMS, MAX_WARNINGS, MORE_WARNINGS, Bounded, PackWarning, Report, told
from jobs.packs.grammar import (
    MAX_ROWS,
    Draft,
    Line,
    ParsedText,
    add_negative,
    lines_of,
    read_block,
    readable_line,
    rows_of,
    too_many_rows,
)
from jobs.packs.json_tags import embeddings_of, loras_of
from jobs.packs.lint import lint_block
from jobs.packs.tags import EmbeddingTag, WrittenLora
from jobs.packs.values import shown

_TEXT: Final = ("text", "prompt", "positive", "positive_prompt")
_NEGATIVE: Final = ("negative", "negative_prompt", "neg")
_KNOWN: Final = frozenset(
    {
        *_TEXT,
        *_NEGATIVE,
        "positive_embeddings",
        "negative_embeddings",
        "loras",
        "name",
        "index",
        "template_id",
    }
) | {"template_variables"}


def rows_of_slots(slots: Mapping[int, Mapping[str, Any]], pack: str) -> ParsedText:
    """The rows of slots by their place in the JSON; never raises. What cannot be read is told by that place."""
    report = Report(pack)
    found: Bounded[PackWarning] = Bounded(MAX_WARNINGS)
    problems: Bounded[RecordProblem] = Bounded(MAX_PROBLEMS)
    drafts: list[Draft] = []
    blocks: list[list[Line]] = []
    before: Draft | None = None
    more_rows = False
    for number, raw in slots.items():
        slot = _Slot(number, raw, report, problems)
        draft = slot.draft(found)
        if draft.is_row and len(drafts) == MAX_ROWS:
            found.keep([too_many_rows(None)])
            more_rows = True
            break
        if draft.is_row:
            drafts.append(draft)
        else:
            slot.tell_of_no_row(draft, before, len(drafts))
        if slot.lines:
            blocks.append(slot.lines)
        before = draft if draft.is_row else None
    parsed = rows_of(drafts, blocks, found, problems, more_rows=more_rows)
    return replace(parsed, warnings=(*told(report.warnings), *map(_by_slot, parsed.warnings)))


def _by_slot(warning: PackWarning) -> PackWarning:
    """A warning about words, which has the number of a slot in place of a line."""
    if warning.line is None:
        return warning
    is_about_it = warning.code != MORE_WARNINGS
    message = f"slot {warning.line} of the JSON: {warning.message}" if is_about_it else warning.message
    return warning.model_copy(update={"message": message, "line": None})


def _joined(tags: Iterable[EmbeddingTag | WrittenLora]) -> str:
    return " ".join(map(str, tags))


class _Slot:
    """One slot while it is read; `lines` are its words as the lines of a text."""

    def __init__(
        self, number: int, raw: Mapping[str, Any], report: Report, problems: list[RecordProblem]
    ) -> None:
        self._number = number
        self._where = f"slot {number}"
        self._raw = raw
        self._report = report
        self._problems = problems
        self._is_negative_half = False
        self.lines: list[Line] = []

    def draft(self, warnings: Bounded[PackWarning]) -> Draft:
        """What the slot says, its names beside its words; `warnings` get what is odd about the words."""
        for key in [key for key in self._raw if key not in _KNOWN]:
            self._tell("unknown_key", f"{shown(key)} is not known; it is ignored")
        if self._raw.get("template_id"):
            words = f"{self._where} of the JSON uses a prompt template; it has no effect here."
            self._report.warn("no_effect", words, "template_id")
        text, negative = self._lines(_TEXT), self._lines(_NEGATIVE)
        if not negative and "negative" in str(self._raw.get("name") or "").lower():
            text, negative = [], text
            self._is_negative_half = bool(negative)
        positive = embeddings_of(self._raw.get("positive_embeddings"), "positive_embeddings", self._tell)
        refused = embeddings_of(self._raw.get("negative_embeddings"), "negative_embeddings", self._tell)
        loras = loras_of(self._raw.get("loras"), "loras", self._tell)
        draft = read_block(self._numbered(text), warnings) if text else Draft(0, 0)
        draft.first_line = draft.last_line = 0
        draft.positive_embeddings[:0] = positive
        draft.loras += loras
        draft.negative_embeddings += refused
        for line in negative:
            add_negative(draft, line, self._number, warnings)
        lines = [_joined(positive), *text, _joined(loras)]
        lines += [f"neg: {line}" for line in (_joined(refused), *negative) if line]
        self.lines = self._numbered(line for line in lines if line)
        warnings += lint_block(self.lines)
        return draft

    def _numbered(self, lines: Iterable[str]) -> list[Line]:
        """Lines as a block; in place of their numbers in a text they have that of the slot."""
        return [(self._number, line) for line in lines]

    def tell_of_no_row(self, draft: Draft, before: Draft | None, rows: int) -> None:
        """A slot without a positive prompt; one that is named for the negative completes the slot right before it."""
        if self._is_negative_half and before is not None:
            before.add_negative(draft)
            self._tell("detached_negative", f"its words are the negative of row {rows}, as its name says")
        elif draft.has_negative:
            self._tell("empty_row", "it has only a negative prompt, so it makes no row; give it a text")
        else:
            words = f"{self._where} of the JSON says nothing; it is left out."
            self._report.warn("empty_row", words, self._where)

    def _lines(self, keys: Sequence[str]) -> list[str]:
        """The lines of the first of these keys that says something, text or a list of texts."""
        lines: list[str] = []
        for key in keys:
            value = self._raw.get(key)
            texts = value if isinstance(value, list) else [value]
            if any(not isinstance(text, str) for text in texts if text not in (None, "")):
                self._tell("wrong_value", f"{key} is {shown(value)}, no text; what is none is left out")
            joined = "\n".join(text for text in texts if isinstance(text, str))
            where = f"a line of {self._where}"
            found = [
                line
                for raw in lines_of(joined)
                if (line := readable_line(raw, where, self._report.pack, self._problems))
            ]
            if lines and found and found != lines:
                self._tell("conflicting_alias", f"{key} says something else than another key, which counts")
            lines = lines or found
        return lines

    def _tell(self, code: str, words: str) -> None:
        self._report.warn(code, f"{self._where} of the JSON: {words}.", self._where)
