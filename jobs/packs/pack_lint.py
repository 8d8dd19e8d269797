"""What looks odd in a pack as a whole although it can be read: warnings only, nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from jobs.packs.document import PackDocument
from jobs.packs.findings import PackWarning, Report
from jobs.packs.grammar import PackRow
from jobs.packs.json_text import MAX_DOUBLED, doubled_keys
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
        for code, words in found:
            message = f"row {number}: {words}."
            report.warnings.append(PackWarning(code=code, message=message, line=line, row=number))


def warn_of_prompts(document: PackDocument, report: Report) -> None:
    """Names alone in angle brackets, in the prompts of settings and in values: what becomes of them."""
    for setting, texts in _prompts(document):
        for words in bare_tag_words("\n".join(texts)):
            report.warn("bare_tag", f"{setting}: {words}", setting)


def _prompts(document: PackDocument) -> Iterator[tuple[str, Sequence[str]]]:
    for name in ("txt2img", "img2img", "adetailer"):
        section = getattr(document, name)
        for field in sorted(section.MEANING):
            if "prompt" in field or field == "negative_adjust":
                yield f"{name}.{field}", (getattr(section, field),)
    choices = document.choices
    yield "matrix.base_prompt", (choices.base_prompt,)
    for slot in (*document.matrix_slots, *choices.rules, *choices.wildcards):
        yield f"slot {slot.name!r}", slot.values


def warn_of_doubled_keys(data: Mapping[str, Any], report: Report) -> None:
    """JSON keeps the last of several values of a key; its author may have meant another."""
    found = doubled_keys(data)
    for key in found[:MAX_DOUBLED]:
        listed = ", then ".join(shown(value) for value in key.values[:4])
        words = f"the JSON's {key.path} stands {len(key.values)} times: {listed}; the last one counts."
        report.warn("doubled_key", words, key.path)
    if len(found) > MAX_DOUBLED:
        report.warn("doubled_key", f"{len(found) - MAX_DOUBLED:,} more keys of the JSON stand several times.")
