"""Rows that only the JSON of a pack has (`pack_data.slots`), read as the blocks that they would be in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from jobs.packs.findings import Report, told
from jobs.packs.grammar import ParsedText, lines_of, parse_text
from jobs.packs.tags import EmbeddingTag
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
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,20}(?:[.,][0-9]{0,20})?|[.,][0-9]{1,20})")


def rows_of_slots(slots: Sequence[Mapping[str, Any]], pack: str) -> ParsedText:
    """Never raises; what cannot be read is told by the slot's number."""
    blocks = []
    report = Report(pack)
    for number, slot in enumerate(slots, 1):
        block = _Slot(number, slot, report).block()
        if block:
            blocks.append(block)
        else:
            words = f"slot {number} of the JSON says nothing; it is left out."
            report.warn("empty_row", words, f"slot {number}")
        if slot.get("template_id"):
            words = f"slot {number} of the JSON uses a prompt template; it has no effect here."
            report.warn("no_effect", words, "template_id")
    parsed = parse_text("\n\n".join(blocks), pack)
    # Line numbers of a text that nobody wrote would mislead.
    warnings = [warning.model_copy(update={"line": None}) for warning in parsed.warnings]
    rows = tuple(replace(row, first_line=0, last_line=0) for row in parsed.rows)
    return ParsedText(rows, (*told(report.warnings), *warnings), parsed.problems, parsed.more_rows)


class _Slot:
    """One slot while it is read."""

    def __init__(self, number: int, raw: Mapping[str, Any], report: Report) -> None:
        self._number = number
        self._raw = raw
        self._report = report

    def block(self) -> str:
        for key in [key for key in self._raw if key not in _KNOWN]:
            self._tell("unknown_key", f"{shown(key)} is not known; it is ignored")
        text, negative = self._lines(_TEXT), self._lines(_NEGATIVE)
        if not negative and "negative" in str(self._raw.get("name") or "").lower():
            text, negative = [], text
        loras = [f"<lora:{name}:{weight or '1.0'}>" for name, weight in self._items("loras")]
        lines = [" ".join(self._embeddings("positive_embeddings")), *text, " ".join(loras)]
        refused = (" ".join(self._embeddings("negative_embeddings")), *negative)
        lines += [f"neg: {words}" for words in refused]
        return "\n".join(line for line in lines if line.strip() not in ("", "neg:"))

    def _lines(self, keys: Sequence[str]) -> list[str]:
        """The lines of the first of these keys that says something, text or a list of texts."""
        lines: list[str] = []
        for key in keys:
            value = self._raw.get(key)
            texts = value if isinstance(value, list) else [value]
            if any(not isinstance(text, str) for text in texts if text not in (None, "")):
                self._tell("wrong_value", f"{key} is {shown(value)}, no text; what is none is left out")
            joined = "\n".join(text for text in texts if isinstance(text, str))
            found = [line for line in lines_of(joined) if line.strip()]
            if lines and found and found != lines:
                self._tell("conflicting_alias", f"{key} says something else than another key, which counts")
            lines = lines or found
        return lines

    def _embeddings(self, key: str) -> list[str]:
        tags = []
        for name, weight in self._items(key):
            if weight and not _NUMBER.fullmatch(weight):
                self._tell(
                    "wrong_value", f"{key}: {name} has the weight {shown(weight)}, no number; it is left out"
                )
                weight = ""
            tags.append(str(EmbeddingTag(name, "" if weight in ("", "1", "1.0") else weight)))
        return tags

    def _items(self, key: str) -> list[tuple[str, str]]:
        """Names and weights from a list of `"name"`, `["name", 0.9]` or `{"name": .., "weight": ..}`, or an object."""
        raw = self._raw.get(key)
        if isinstance(raw, str) and raw.strip():
            raw = [name for name in raw.split(",") if name.strip()]
        elif isinstance(raw, dict):
            raw = [raw] if "name" in raw else [list(pair) for pair in raw.items()]
        if raw and not isinstance(raw, list):
            self._tell("wrong_value", f"{key} is {shown(raw)}: a list is expected; it is left out")
        found = []
        for item in raw if isinstance(raw, list) else []:
            name, weight, is_odd = _name_and_weight(item)
            if not name or is_odd:
                rest = "the weight is left out" if name else "it is left out"
                self._tell("wrong_value", f"{key} has {shown(item)}, which cannot be read; {rest}")
            if name:
                found.append((name, weight))
        return found

    def _tell(self, code: str, words: str) -> None:
        self._report.warn(code, f"slot {self._number} of the JSON: {words}.", f"slot {self._number}")


def _name_and_weight(item: object) -> tuple[str, str, bool]:
    """Name, weight as text ("" for none), and whether there was a weight that is no number."""
    name: object = item
    weight: object = None
    if isinstance(item, list):
        name, weight = ([*item, None, None])[:2]
    elif isinstance(item, dict):
        name, weight = item.get("name"), item.get("weight", item.get("strength"))
    text = (
        str(weight).strip() if isinstance(weight, str | int | float) and not isinstance(weight, bool) else ""
    )
    if isinstance(weight, str) and _NUMBER.fullmatch(text):
        text = text.replace(",", ".")
    elif isinstance(weight, str) and ("<" in text or ">" in text or "\n" in text):
        text = ""
    is_odd = weight not in (None, "") and not text
    named = name.strip() if isinstance(name, str) else ""
    return named, text, is_odd
