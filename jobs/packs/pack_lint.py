"""What looks odd in a pack as a whole although it can be read: warnings only, nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from jobs.packs.choices import choices_in, foreign_constructs
from jobs.packs.document import PackDocument
from jobs.packs.findings import PackWarning, Report
from jobs.packs.grammar import PackRow
from jobs.packs.json_text import doubled_keys
from jobs.packs.lint import bare_tag_words, half_tokens
from jobs.packs.matrix import TOKEN_RE
from jobs.packs.randomization import WILDCARD_RE
from jobs.packs.values import shown


def warn_of_rows(rows: Sequence[PackRow], wildcards: Collection[str], report: Report) -> None:
    """Broken tokens and wildcards without values."""
    for row in rows:
        text = f"{row.positive_text}\n{row.negative_text}"
        line, number = row.first_line or None, row.index + 1
        found = []
        if half_tokens(TOKEN_RE.sub("", text)):
            found.append(("half_token", "it has brackets that look like a broken [[token]]"))
        found += [
            ("wildcard", f"wildcard {name} has no values here; it is sent as it stands")
            for name in dict.fromkeys(WILDCARD_RE.findall(text))
            if name not in wildcards
        ]
        found += [
            (
                "choice",
                f"{_short(choice.name)} is a choice; each record gets one of its {len(choice.values)} values",
            )
            for choice in choices_in(text)
            if choice.name.endswith("}")  # Told once, however often it is written.
        ]
        found += [
            (
                "dynamic_prompt",
                f"{_short(written)} is of a kind that StableNew does not read; it is sent as it stands",
            )
            for written in foreign_constructs(text)
        ]
        for code, words in found:
            message = f"row {number}: {words}."
            report.warnings.append(PackWarning(code=code, message=message, line=line, row=number))


def warn_of_prompts(document: PackDocument, report: Report) -> None:
    """Names alone in angle brackets, in the prompts of settings and in values: what becomes of them."""
    for setting, texts in _prompts(document):
        joined = "\n".join(texts)
        for words in bare_tag_words(joined):
            report.warn("bare_tag", f"{setting}: {words}", setting)
        for written in foreign_constructs(joined):
            words = f"{setting}: {_short(written)} is of a kind that StableNew does not read; it is sent as it stands."
            report.warn("dynamic_prompt", words, setting)
    for setting, texts in _values(document):
        for choice in choices_in("\n".join(texts)):
            words = f"{setting}: {_short(choice.name)} is a choice, which no value may hold; it is sent as it stands."
            report.warn("dynamic_prompt", words, setting)


def _values(document: PackDocument) -> Iterator[tuple[str, Sequence[str]]]:
    choices = document.choices
    for slot in (*document.matrix_slots, *choices.rules, *choices.wildcards):
        yield f"slot {_short(slot.name)!r}", slot.values


def _prompts(document: PackDocument) -> Iterator[tuple[str, Sequence[str]]]:
    for name in ("txt2img", "img2img", "adetailer"):
        section = getattr(document, name)
        for field in sorted(section.MEANING):
            if "prompt" in field or field == "negative_adjust":
                yield f"{name}.{field}", (getattr(section, field),)
    yield "matrix.base_prompt", (document.choices.base_prompt,)
    yield from _values(document)


def warn_of_doubled_keys(data: Mapping[str, Any], report: Report, whose: str = "the JSON") -> None:
    """JSON keeps the last of several values of a key; its author may have meant another."""
    found, more = doubled_keys(data)
    for key in found:
        listed = ", then ".join(shown(value) for value in key.values[:4])
        words = f"{whose}'s {key.path} stands {len(key.values)} times: {listed}; the last one counts."
        report.warn("doubled_key", words, key.path)
    if more:
        report.warn("doubled_key", f"{more:,} more keys of {whose} stand several times.")


def _short(words: str) -> str:
    return words if len(words) <= 80 else f"{words[:79]}…"
